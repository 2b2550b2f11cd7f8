"""Metrics of episodes."""
