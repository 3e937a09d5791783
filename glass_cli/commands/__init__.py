"""What `glass` does besides runs and reports: one file a command."""
