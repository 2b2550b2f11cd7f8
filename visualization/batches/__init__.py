"""`visualize.py batches`."""
