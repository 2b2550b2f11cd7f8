"""`visualize.py data`."""
