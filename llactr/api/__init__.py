"""What `import llactr` hands out: the steps as methods, training data, scoring, comparing, a model of one's own."""
