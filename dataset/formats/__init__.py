"""The files of a prepared data set: formats, readers, and the only writer. No TensorFlow.

>>> from pathlib import Path
>>> from dataset.formats.manifest import make_manifest
>>> rows = [["identity", "path", "camera"], ["7", "a.jpg", "1"], ["7", "b.jpg", "2"]]
>>> make_manifest(rows, Path("query.csv"), Path("images")).cameras.tolist()
['1', '2']
"""
