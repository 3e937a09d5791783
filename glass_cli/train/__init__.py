"""Trains the embedded emoji model and its CLIP reward; run ``python -m glass_cli.train --help``."""
