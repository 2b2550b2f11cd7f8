"""Hyperparameter search: each trial is a run folder, trained and evaluated by train.py and evaluate.py.

>>> from model.searching.proposals import list_grid
>>> from model.searching.space import parse_space
>>> list_grid(parse_space(["margin=0.2,soft", "batch_k=4"]))
[{'margin': 0.2, 'batch_k': 4}, {'margin': 'soft', 'batch_k': 4}]
"""
