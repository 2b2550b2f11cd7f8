"""Each (anchor, positive) with the nearest negative beyond the positive, else with the farthest negative.

The mining of FaceNet (Schroff et al., section 3.2) as TensorFlow Addons' `triplet_semihard_loss` defines it.
"""

from model.chunks import Chunk
from model.losses import Options, Terms
from model.margins import Margin
from model.semi_hard import semi_hard_terms


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per (anchor, positive)."""
    return semi_hard_terms(chunk, margin, else_farthest=True)
