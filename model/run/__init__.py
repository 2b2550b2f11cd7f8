"""A run folder: its paths, parameters, checkpoints, results and events.

>>> from model.run.run_folder import RunFolder
>>> run = RunFolder("experiments/omniglot")
>>> run.load_params().embedding_size, run.results.name
(128, 'results.jsonl')
"""
