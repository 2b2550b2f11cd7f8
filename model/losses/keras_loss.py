"""The triplet loss as a Keras loss, for `compile` and `fit` of any model that outputs embeddings."""

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
    """The triplet loss of a batch: labels (B,) or (B, 1), embeddings (B, D) -> scalar.

    Labels are whole numbers, equal for images of one identity. A batch needs several images of several identities: an
    image without a positive or a negative adds nothing. The loss is computed in float32, whatever the model's dtype
    policy. Under a distribution strategy, each replica mines in its own part of the batch.

    Loading a saved model that was compiled with this loss requires that this module has been imported.
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
        """The defaults are those of the parameters in params.json.

        Args:
            strategy: how triplets are chosen, a module of `model.losses.strategies`.
            margin: a number of at least 0, "soft" or "none".
            metric: distance of embeddings, a module of `model.distances`.
            batch_all_mean: "active" or "valid": the triplets over which `batch_all` averages.
            seed: random seed of `batch_sample`, which draws again in every step.
            name: of the loss.

        Raises:
            UserError: for any other value.
        """
        super().__init__(name=name, dtype="float32")
        if strategy not in (known := plugins.choices("model.losses.strategies")):
            raise UserError(f"strategy {strategy!r} is unknown; choose one of {', '.join(known)}")
        find_distance(metric)
        if isinstance(margin, numbers.Real) and not isinstance(margin, bool):
            margin = float(margin)  # NumPy's numbers too, which a saved model cannot hold
        if margin not in ("soft", "none") and not (isinstance(margin, float) and 0 <= margin < math.inf):
            raise UserError(f'margin {margin!r} is invalid; use a number of at least 0, "soft" or "none"')
        if batch_all_mean not in ("active", "valid"):
            raise UserError(f'batch_all_mean {batch_all_mean!r} is invalid; use "active" or "valid"')
        self._settings: dict[str, Any] = {"strategy": strategy, "margin": margin, "metric": metric}
        self._settings |= {"batch_all_mean": batch_all_mean, "seed": seed}
        self._random = keras.random.SeedGenerator(seed) if strategy == "batch_sample" else None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tf.Tensor:
        """(B,) or (B, 1) labels, (B, D) embeddings -> scalar float32.

        Raises:
            UserError: for other shapes, or for weights: triplets have none.
        """
        # Keras would convert the labels to float32, which cannot distinguish whole numbers above 2^24.
        labels, embeddings = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if sample_weight is not None:
            raise UserError(f"{self.name}: sample_weight and class_weight are not supported; call fit without them")
        sound = labels.shape.rank in (1, 2) and labels.shape[1:] in ((), (1,), (None,))
        if not sound or embeddings.shape.rank != 2 or embeddings.shape[1] is None:
            shapes = f"labels of shape {labels.shape} and embeddings of shape {embeddings.shape}"
            raise UserError(
                f"{self.name}: {shapes}; labels must be (B,) or (B, 1) whole numbers, embeddings (B, D) with a known D"
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
        """The settings, from which Keras makes the same loss again."""
        return {"name": self.name, **self._settings}
