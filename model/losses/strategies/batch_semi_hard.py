"""Each (anchor, positive) with the nearest negative beyond the positive (Schroff et al., FaceNet, section 3.2).

Pairs without such a negative are skipped: all their negatives are hard, nearer than the positive.
"""

from model.losses.chunks import Chunk
from model.losses.margins import Margin
from model.losses.strategies._semi_hard import semi_hard_terms
from model.losses.terms import Options, Terms


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per (anchor, positive) with a semi-hard negative."""
    return semi_hard_terms(chunk, margin, else_farthest=False)
