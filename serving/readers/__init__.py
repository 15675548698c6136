"""Readers of online stores, one file a store."""
