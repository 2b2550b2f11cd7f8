"""`visualize.py rankings`."""
