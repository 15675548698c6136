"""A Feast repository of the user's own: where it is, which views a spec reads, their values on both sides."""
