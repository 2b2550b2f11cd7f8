"""Episodes, `episodes/<set>.csv`: which candidate shows the identity of the anchor?"""

from pathlib import Path

import numpy as np

from dataset.formats.episodes import SNIPPET
from dataset.formats.prepared import PreparedDataset
from dataset.loading.checked import load_episodes
from model.configuration.params import Params
from model.evaluation.sets import EvaluationSet, ReadySet, SetMetrics
from model.metrics.episodes.accuracies import ACCURACIES, episode_accuracies
from model.metrics.episodes.breakdown import breakdown_definitions, breakdown_metrics

MAIN = ACCURACIES[0]
PICTURES = ()


def find(folder: Path) -> dict[str, tuple[Path, ...]]:
    return {file.stem: (file,) for file in sorted((folder / "episodes").glob("*.csv"))}


def load(found: EvaluationSet, prepared: PreparedDataset, params: Params) -> ReadySet:
    checked = load_episodes(found.files[0], prepared.image_root, params.check_images, params.corrupt_images)
    episodes = checked.episodes

    def evaluate(embeddings: np.ndarray) -> SetMetrics:
        result = episode_accuracies(embeddings, episodes, params.metric)
        counts = result.counts
        if SNIPPET in episodes.attributes:
            counts = counts | {"snippets": len(set(episodes.attributes[SNIPPET]))}
        details = breakdown_metrics(result.solved, result.share, episodes)
        return SetMetrics(result.metrics, result.definitions | breakdown_definitions(episodes), counts, details)

    return ReadySet(found, episodes.files(), checked.orientations, evaluate, ACCURACIES, len(checked.skipped))


def tables(names: list[str]) -> list[tuple[str, dict[str, tuple[str, tuple[str, ...]]]]]:
    return [("general / easy accuracy of episodes, %", {name: (name, ACCURACIES) for name in names})]
