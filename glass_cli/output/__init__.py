"""A run's folder: one writer, one reader, and what is shown while it works."""
