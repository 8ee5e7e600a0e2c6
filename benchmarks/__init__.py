"""Compares asynctensor with its peers: ``python -m benchmarks --help``."""
