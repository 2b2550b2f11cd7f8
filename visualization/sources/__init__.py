"""Where a picture's embeddings and images come from: a run, or files of embeddings."""
