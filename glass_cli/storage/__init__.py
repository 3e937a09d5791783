"""Folders of runs that last: resumed after a kill, never mixed, one process at a time."""
