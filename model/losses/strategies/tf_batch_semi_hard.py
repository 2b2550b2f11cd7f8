"""Each (anchor, positive) with the nearest negative beyond the positive, else with the farthest negative.

The mining of FaceNet (Schroff et al., section 3.2) as TensorFlow Addons' `triplet_semihard_loss` defines it.
"""

from model.losses.chunks import Chunk
from model.losses.margins import Margin
from model.losses.strategies._semi_hard import semi_hard_terms
from model.losses.terms import Options, Terms


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per (anchor, positive)."""
    return semi_hard_terms(chunk, margin, else_farthest=True)
