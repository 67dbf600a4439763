"""The trainer, a run and its state, many runs at once, runs on a cluster."""
