"""A run folder: what is in it, and who may do what with it."""
