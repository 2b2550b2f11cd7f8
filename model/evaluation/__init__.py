"""Evaluation: the evaluator of a run, its evaluation sets, results as text, files of embeddings.

>>> from model.evaluation.best import best_metric
>>> metrics = {"val_eval": ("general_accuracy", "easy_accuracy"), "test": ("map", "cmc@1")}
>>> best_metric("auto", metrics), best_metric("test/cmc@1", metrics)
(('val_eval', 'general_accuracy'), ('test', 'cmc@1'))
"""
