"""Prepared data sets to batches: checked lists and images, and the tf.data pipeline.

>>> from dataset.loading.inspection import inspect_files
>>> found = inspect_files(["docs/pictures/rankings.png", "README.md"])
>>> found.orientations.tolist(), found.problems
([1, 1], {1: 'not a JPEG or PNG; convert it to one of them'})
"""
