"""The search over an arm's settings: what is searched, and a study that can be taken up again."""
