"""Pictures of the evaluator in TensorBoard."""
