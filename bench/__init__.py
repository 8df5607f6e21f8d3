"""Measurements of speed and memory: `python -m bench`, which writes docs/BENCHMARKS.md."""
