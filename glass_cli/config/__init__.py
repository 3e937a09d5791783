"""Settings, their checks, and the arguments of the command line."""
