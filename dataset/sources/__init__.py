"""Readers of raw data sets (file names, folders, tables, archives), and the code that preparing commands share.

>>> from dataset.sources.names import parse_names
>>> parse_names(["0002_c1s1_000451_03.jpg"], "market1501", "query")
[('0002', '1', '0002_c1s1')]
"""
