"""Checkpoints, or files of embeddings, to metrics, tables and the best checkpoint."""
