"""Nearest neighbours, and what is made of them: re-ranking, query expansion, an approximate index."""
