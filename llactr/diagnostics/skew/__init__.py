"""What the service logged, compared with what the offline store says it should have read."""
