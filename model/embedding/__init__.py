"""Images to embeddings in files: views, shards, resuming."""
