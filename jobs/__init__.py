"""The jobs: one file a step, each a few lines that read like the method; the thinking lives in `llactr`."""
