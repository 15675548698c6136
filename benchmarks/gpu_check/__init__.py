"""What llactr does on a GPU, tried against the CPU of one machine: `python -m benchmarks.gpu_check --help`."""
