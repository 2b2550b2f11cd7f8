"""`visualize.py tracks`."""
