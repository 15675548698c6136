"""Reads a spec against its data and lists all that is wrong, with places."""
