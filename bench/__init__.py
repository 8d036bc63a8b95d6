"""Benchmarks, each beside a peer or a physical limit in the same run: see bench/README.md."""
