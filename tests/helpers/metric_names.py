"""The names of all distances."""

from model.distances import list_distances

METRICS = tuple(list_distances())
SQUARED = tuple(list_distances(squared=True))  # functions of the squared Euclidean distance
