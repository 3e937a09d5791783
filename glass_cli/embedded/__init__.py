"""The embedded world: its renderer, how its models are trained, and their weights."""
