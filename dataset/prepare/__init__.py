"""Commands that prepare data sets, one module per data set: `python -m dataset.prepare.NAME --help`.

>>> from runtime import plugins
>>> plugins.choices("dataset.prepare")[:4]
['cars196', 'csv', 'cub', 'cuhk03']
"""
