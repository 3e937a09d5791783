"""Rewards: a batch of samples and their prompt in, one number each out."""
