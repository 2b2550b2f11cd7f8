"""Images and labels to batches. Knows nothing of models."""
