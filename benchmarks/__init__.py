"""Ours beside the alternatives, on the same work: `python -m benchmarks` runs all, each script runs by itself too."""
