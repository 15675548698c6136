"""Experiments, won or lost; nothing of the product imports them."""
