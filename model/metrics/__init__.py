"""Figures of merit of embeddings."""
