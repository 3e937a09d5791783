"""Experiments on the model itself: posterior draws and decision windows."""
