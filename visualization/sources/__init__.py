"""The embeddings and images of a picture, from a run or from files of embeddings.

>>> import numpy as np
>>> from pathlib import Path
>>> from dataset.formats.manifest import Manifest
>>> from visualization.sources.embedded_set import Lists, assemble_set
>>> images = Manifest(np.array(["a", "a", "b"]), np.array(["1.jpg", "2.jpg", "3.jpg"]), Path(), Path("list.csv"))
>>> embedded = assemble_set(Lists(images, images, "diagonal"), np.eye(3), "euclidean", title="example", facts={})
>>> embedded.facts["images"]
'3 against all others'
"""
