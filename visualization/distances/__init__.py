"""`visualize.py distances`."""
