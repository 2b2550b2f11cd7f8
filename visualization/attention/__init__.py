"""`visualize.py attention`."""
