"""Computes the maps of pairs by a run's network. Imports TensorFlow."""

from pathlib import Path

import numpy as np

from dataset.loading.pipeline import embedding_batches
from model.configuration.params import Params
from model.metrics.ranking.gallery_distances import EmbeddingDistances
from runtime.errors import UserError
from visualization.attention.maps import AttentionMaps, PairMaps, mean_embedding
from visualization.attention.pair_figure import ExplainedPair
from visualization.attention.pairs import ChosenPair
from visualization.sources.embedded_set import EmbeddedSet
from visualization.sources.network import check_finite, load_network


def explain(
    pairs: list[ChosenPair],
    orientations: np.ndarray,
    checkpoint: Path,
    params: Params,
    metric: str,
    embedded: EmbeddedSet | None,
) -> list[ExplainedPair]:
    """Runs the network and computes the maps, a few pairs at a time.

    Args:
        pairs: N pairs.
        orientations: (2 N,) EXIF orientations of their files.
        checkpoint, params: of the network.
        metric: a module of `model.distances`.
        embedded: the set whose mean is the centre; None for 0.

    Raises:
        UserError: for a checkpoint of another architecture, or one whose embeddings are not finite.
    """
    params = params.model_copy(update={"precision": "float32"})  # gradients vanish in half precision
    model = load_network(checkpoint, params)
    centre = None if embedded is None else mean_embedding(embedded.gallery.emb, metric)
    if centre is not None and len(centre) != model.output_shape[-1]:
        raise UserError(f"{checkpoint}: it gives {model.output_shape[-1]} dimensions, the file has {len(centre)}")
    maps = AttentionMaps(model, metric, centre)
    files = [file for pair in pairs for file in pair.files]
    explained: list[ExplainedPair] = []
    for images in embedding_batches(files, orientations, params, 16):
        images = images.numpy()
        found = maps(images[::2], images[1::2])
        check_finite(checkpoint, found.first_emb, found.second_emb)
        start = len(explained)
        for place, pair in enumerate(pairs[start : start + len(images) // 2]):
            explained.append(_explained(pair, images[2 * place : 2 * place + 2], found, place, metric))
    return explained


def _explained(pair: ChosenPair, images: np.ndarray, found: PairMaps, place: int, metric: str) -> ExplainedPair:
    first, second = found.first_emb[place : place + 1], found.second_emb[place : place + 1]
    distances = EmbeddingDistances(first, second, metric)
    zero = np.zeros(1, np.int64)
    return ExplainedPair(
        images[0],
        images[1],
        found.first[place],
        found.second[place],
        *pair.names,
        *pair.identities,
        distances.in_units(distances.pairs(zero, zero)[0]),
        float(found.similarity[place]),
        pair.right,
        pair.kind,
    )
