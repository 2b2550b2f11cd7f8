"""`visualize.py embedding`."""
