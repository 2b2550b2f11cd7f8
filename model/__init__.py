"""Batches to embeddings, embeddings to losses and metrics."""
