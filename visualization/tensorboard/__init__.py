"""Pictures and files for TensorBoard: the evaluator's rankings and distances, the projector, the HPARAMS tab.

>>> import numpy as np
>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from visualization.sources.embedded_set import Points
>>> from visualization.tensorboard.projector import Projector
>>> points = Points(np.eye(3), ["1.jpg", "2.jpg", "3.jpg"], None, np.array(["a", "a", "b"]))
>>> with TemporaryDirectory() as folder:
...     Projector(Path(folder), images=2, seed=0).write(points, points, "step 0")
...     print(*sorted(path.name for path in Path(folder).rglob("*.*")))
labels.tsv projector_config.pbtxt vectors.tsv
"""
