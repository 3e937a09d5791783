"""Loads what settings name, draws pictures, and runs samples and benchmarks."""
