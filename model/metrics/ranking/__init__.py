"""Metrics of queries that rank a gallery."""
