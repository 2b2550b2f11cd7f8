"""TensorBoard tags by topic, and the charts of the Custom Scalars tab.

A tag is `topic/key`; TensorBoard makes a section of each topic. Needs no TensorFlow.
"""

import re

from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent

_TOPICS = {
    "loss": ("loss", "triplet_loss", "classification_loss", "center_loss", "anchor_loss", "classification_accuracy"),
    "mining": ("active_fraction", "valid_terms", "complete_anchors", "hardest_triplets", "batch"),
    "distances": ("hardest_positive", "hardest_negative", "all", "positive", "negative"),
    "embedding": (
        *("embedding_norm", "embedding_norms", "embedding_std", "embedding_std_min", "effective_rank"),
        *("batch_top1", "batch_precision@K-1"),
    ),
    "optimization": ("learning_rate", "backbone_learning_rate", "gradient_norm"),
    "speed": ("images_per_second", "data_wait_share"),
}
_TOPIC_OF = {key: topic for topic, keys in _TOPICS.items() for key in keys}
_PERCENTILE = re.compile(r"_p\d+$")

# Title and tags (a regular expression) of each chart in the Custom Scalars tab.
_CHARTS = {
    "Loss": r"loss/(loss|triplet_loss)$",
    "Active triplets (share with a loss above 0)": r"mining/active_fraction$",
    "Distance to the hardest positive and negative": r"distances/hardest_(positive|negative)$",
    "Evaluation: general accuracy, mAP": r"evaluation/(general_accuracy|map)$",
    "Effective rank of the embeddings (0: collapsed)": r"embedding/effective_rank$",
    "Waiting for data (share of the time)": r"speed/data_wait_share$",
}


def training_tag(key: str) -> str:
    """The tag `topic/key` of a metric, histogram or picture of the training; `other/key` if its topic is unknown.

    Args:
        key: key of metrics.jsonl, or name of the histogram or picture. Percentiles (`KEY_p50`) have the topic of their
            metric. A key with a slash is a tag already.
    """
    return key if "/" in key else f"{_TOPIC_OF.get(_PERCENTILE.sub('', key), 'other')}/{key}"


def evaluation_tag(key: str) -> str:
    """The tag of a metric or picture of an evaluation set. It is the same in all sets, so they share a chart."""
    return f"evaluation/{key}"


def first_charts() -> Layout:
    """The layout of the Custom Scalars tab. TensorBoard joins equal layouts of several runs."""
    charts = [Chart(title=title, multiline=MultilineChartContent(tag=[tags])) for title, tags in _CHARTS.items()]
    return Layout(category=[Category(title="Overview", chart=charts)])
