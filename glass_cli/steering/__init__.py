"""Steering: particles weighted, resampled and chosen by a reward while they are drawn."""
