"""Plumbing of the command line: words, preflight, run folders, recording."""
