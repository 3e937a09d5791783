"""Benchmarks: lists of prompts, and what judges the pictures drawn for them."""
