"""What the evaluator shows in TensorBoard of each checkpoint: rankings, distances, and the projector's files."""
