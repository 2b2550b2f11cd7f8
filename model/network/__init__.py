"""Images to embeddings: backbones and heads."""
