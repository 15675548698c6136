"""One question over many data sets: what does each way of using meaning change, and what to expect of the next set."""
