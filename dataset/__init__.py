"""Data sets: preparing them, reading their lists, and making batches of images. Independent of `model`.

>>> from pathlib import Path
>>> from dataset.formats.manifest import make_manifest
>>> rows = [["identity", "path"], ["ann", "ann/1.jpg"], ["ann", "ann/2.jpg"], ["bob", "bob/1.jpg"]]
>>> make_manifest(rows, Path("train.csv"), Path("photos")).files()
['photos/ann/1.jpg', 'photos/ann/2.jpg', 'photos/bob/1.jpg']
"""

from runtime.moved import find_moved

find_moved()
