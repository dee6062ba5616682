"""Benchmarks of this code against alternatives on the same work. `python -m benchmarks` runs all; each also runs alone."""
