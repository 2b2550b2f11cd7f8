"""`visualize.py analyze`: the classes that are hard, what they are confused with, as numbers, JSON and text."""
