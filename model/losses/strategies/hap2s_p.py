"""Point-to-set loss with polynomial weights, w = (d + 1)^alpha (Yu et al., HAP2S, section 3.2)."""

import tensorflow as tf

from model.losses.chunks import Chunk
from model.losses.margins import Margin
from model.losses.strategies._point_to_set import Scores, point_to_set_terms
from model.losses.terms import Options, Terms

POSITIVE_ALPHA, NEGATIVE_ALPHA = 10.0, -20.0


def terms(chunk: Chunk, margin: Margin, options: Options) -> Terms:
    """One term per anchor with a positive and a negative."""
    return point_to_set_terms(chunk, margin, _scores(POSITIVE_ALPHA), _scores(NEGATIVE_ALPHA))


def _scores(alpha: float) -> Scores:
    return lambda d: (alpha * tf.math.log1p(d), alpha / (1.0 + d))
