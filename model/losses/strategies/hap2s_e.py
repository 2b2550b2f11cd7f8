"""Point-to-set loss with exponential weights, exp(d / sigma) and exp(-d / sigma) (Yu et al., HAP2S, section 3.2)."""

from model.losses.chunks import Chunk
from model.losses.margins import Margin
from model.losses.strategies._point_to_set import Scores, point_to_set_terms
from model.losses.terms import Options, Terms

SIGMA = 0.5


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per anchor with a positive and a negative."""
    return point_to_set_terms(chunk, margin, _scores(1.0 / SIGMA), _scores(-1.0 / SIGMA))


def _scores(factor: float) -> Scores:
    return lambda d: (factor * d, factor)
