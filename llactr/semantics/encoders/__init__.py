"""Encoders: language models behind one interface, found by name, adapted by LoRA, hashed by content."""
