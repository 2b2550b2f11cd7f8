"""Episodes, which ask for the candidate with the anchor's identity: accuracies, intervals, breakdown by attribute.

>>> import numpy as np
>>> from model.metrics.episodes.bootstrap import accuracy_intervals
>>> solved = np.array([True, True, True, False])
>>> accuracy_intervals(solved, share=np.array([1, 1, 1, 0.5]))["general_accuracy"]
[0.25, 1.0]
"""
