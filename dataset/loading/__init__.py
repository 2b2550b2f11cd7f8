"""Lists and images checked, and brought to batches."""
