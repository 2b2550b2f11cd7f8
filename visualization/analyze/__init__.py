"""`visualize.py analyze`."""
