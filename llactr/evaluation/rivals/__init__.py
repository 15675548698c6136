"""Rivals: models that a user would take instead, trained on the same rows and ids as ours.

`base` is what a rival is, `kinds/` has one a file, `rows` is what they read, `search` the search on validation.
"""
