"""A draft of a spec, from tables whose roles are known."""
