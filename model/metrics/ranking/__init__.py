"""Queries that rank a gallery: distances in tiles, ranks of the matches by counting, and metrics of these ranks.

>>> import numpy as np
>>> from model.metrics.ranking.gallery_distances import exact_distances
>>> exact_distances(np.array([[0.0, 0]]), np.array([[3.0, 4], [0, 1]]), "euclidean").tolist()
[[5.0, 1.0]]
"""
