"""Warm training: a model goes on from where a bundle's training ended, on the rows that came since."""
