"""Monitoring: what a bundle was trained on, what comes in, and whether that is still the same."""
