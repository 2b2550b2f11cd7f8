"""Rendered videos of look-alike objects, in the layout of ImageNet VID.

>>> import numpy as np
>>> from dataset.vid.synthetic.objects import CATEGORIES, difference, random_instances
>>> one, other = random_instances(np.random.default_rng(0), CATEGORIES[0], 2)
>>> difference(one, other) >= 1.7  # about the number of details in which they differ
True
"""
