"""Seven public data sets: tables that a spec can read, and the specs, written by hand."""
