"""Where a ranking goes wrong: figures class by class, and which classes are taken for which."""
