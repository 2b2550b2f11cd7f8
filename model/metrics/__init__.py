"""Metrics of embeddings: of rankings, episodes, clusters, and the searches under them. No TensorFlow."""
