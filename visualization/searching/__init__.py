"""search.html, the page of a hyperparameter search: parallel coordinates and a table of trials.

>>> from visualization.searching.coordinates import colour_rows
>>> colour_rows([{"map": 0.5}, {"map": 0.9}, {"map": ""}], "map")  # dark is low; None: a trial without a result
['#440154', '#bddf26', None]
"""
