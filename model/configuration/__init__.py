"""The parameters of a run: their fields, reading and checking params.json, the reference. Needs no TensorFlow.

>>> from pathlib import Path
>>> from model.configuration.loading import load_params
>>> params = load_params(Path("params.json"), ["margin=0.5"])  # as `--set margin=0.5`
>>> params.margin, params.metric
(0.5, 'euclidean')
"""
