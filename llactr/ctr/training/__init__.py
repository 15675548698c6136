"""Training: rows in memory or on disk, batches, one step, checkpoints, several processes, the trainer."""
