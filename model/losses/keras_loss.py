"""The triplet loss as a Keras loss, for `compile` and `fit` of any model whose output is an embedding."""

import math
import numbers
from typing import Any

import keras
import tensorflow as tf

from model.distances import find_distance
from model.losses.triplet import triplet_loss
from runtime import plugins
from runtime.errors import UserError


@keras.saving.register_keras_serializable(package="triplet")
class TripletLoss(keras.losses.Loss):
    """The loss of `triplet_loss`, over the images of a batch: labels (B,) or (B, 1), embeddings (B, D) -> scalar.

    Labels are whole numbers, equal for images of one identity. A batch needs several images of several identities: what
    has no positive or no negative adds nothing. Computed in float32 whatever the policy of the model. Under a
    distribution strategy, each replica mines in its own part of the batch.

    A saved model that was compiled with it loads wherever this module has been imported.
    """

    def __init__(
        self,
        strategy: str = "batch_hard",
        margin: float | str = "soft",
        metric: str = "euclidean",
        *,
        batch_all_mean: str = "active",
        seed: int = 0,
        name: str = "triplet_loss",
    ) -> None:
        """The defaults are those of a training's parameters.

        Args:
            strategy: how triplets are chosen, a module of `model.losses.strategies`.
            margin: at least 0, "soft" or "none".
            metric: distance of embeddings, a module of `model.distances`.
            batch_all_mean: "active" or "valid", which triples `batch_all` takes its mean over.
            seed: what `batch_sample` draws by, anew in every step.
            name: of the loss.

        Raises:
            UserError: for another value.
        """
        super().__init__(name=name, dtype="float32")
        if strategy not in (known := plugins.choices("model.losses.strategies")):
            raise UserError(f"strategy {strategy!r}: it must be one of {', '.join(known)}")
        find_distance(metric)
        if isinstance(margin, numbers.Real) and not isinstance(margin, bool):
            margin = float(margin)  # of NumPy too, which no saved model could hold
        if margin not in ("soft", "none") and not (isinstance(margin, float) and 0 <= margin < math.inf):
            raise UserError(f'margin {margin!r}: it must be a number of at least 0, "soft" or "none"')
        if batch_all_mean not in ("active", "valid"):
            raise UserError(f'batch_all_mean {batch_all_mean!r}: it must be "active" or "valid"')
        self._settings: dict[str, Any] = {"strategy": strategy, "margin": margin, "metric": metric}
        self._settings |= {"batch_all_mean": batch_all_mean, "seed": seed}
        self._random = keras.random.SeedGenerator(seed) if strategy == "batch_sample" else None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """(B,) or (B, 1) labels, (B, D) embeddings -> scalar float32.

        Raises:
            UserError: for other shapes, or weights, which a loss of triplets does not have.
        """
        # Keras would make the labels float32, which tells no whole numbers above 2^24 apart.
        labels, embeddings = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if sample_weight is not None:
            raise UserError(f"{self.name}: it takes no sample_weight or class_weight; leave it out of fit")
        sound = labels.shape.rank in (1, 2) and labels.shape[1:] in ((), (1,), (None,))
        if not sound or embeddings.shape.rank != 2 or embeddings.shape[1] is None:
            shapes = f"labels {labels.shape} and embeddings {embeddings.shape}"
            raise UserError(
                f"{self.name}: {shapes}; they must be (B,) or (B, 1) whole numbers, and (B, D) with a known D"
            )
        return self.call(tf.reshape(labels, [-1]), embeddings)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """(B,) labels, (B, D) embeddings -> scalar float32."""
        labels = y_true if y_true.dtype.is_integer else tf.cast(y_true, tf.int64)
        seed = (0, 0) if self._random is None else tf.cast(self._random.next(), tf.int64)
        settings = self._settings | {"seed": seed}
        loss, _ = triplet_loss(labels=labels, embeddings=y_pred, **settings)
        return loss

    def get_config(self) -> dict[str, Any]:
        """What makes the same loss again."""
        return {"name": self.name, **self._settings}
