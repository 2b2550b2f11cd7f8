"""`visualize.py analyze`: the hardest classes and the most confused pairs, as numbers, JSON and text.

>>> import numpy as np
>>> from model.evaluation.by_class.analysis import wilson_interval
>>> low, high = wilson_interval(np.array([9]), np.array([10]))  # 9 of 10 queries succeed: the 95% interval
>>> round(float(low[0]), 3), round(float(high[0]), 3)
(0.596, 0.982)
"""
