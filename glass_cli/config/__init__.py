"""Settings, their checks, and the words of the command line."""
