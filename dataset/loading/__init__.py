"""Prepared data sets to batches: lists read, images checked, the tf.data pipeline."""
