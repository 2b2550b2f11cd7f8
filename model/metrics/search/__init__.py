"""Nearest neighbours, and methods built on them: re-ranking, query expansion, an approximate index.

>>> import numpy as np
>>> from model.metrics.search.nearest import nearest
>>> nearest(np.array([[0.0, 0]]), np.array([[5.0, 0], [1, 0], [2, 0]]), k=2, metric="euclidean").indices.tolist()
[[1, 2]]
"""
