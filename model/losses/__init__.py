"""Embeddings to a loss: distances, triplet strategies, and what is minimised beside them."""
