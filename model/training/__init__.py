"""Training: the loop, the step, the optimizer, checkpoints, and what is logged.

>>> from model.configuration.params import Params
>>> from model.training.curriculum import phase_at
>>> params = Params(triplet_strategy=[[0, "batch_all"], [600, "batch_hard"]])
>>> [phase_at(params, step).strategy for step in (0, 599, 600)]
['batch_all', 'batch_all', 'batch_hard']
"""
