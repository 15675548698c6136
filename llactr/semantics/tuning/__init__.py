"""Tuning an encoder: the loop, and the objectives that bring its loss."""
