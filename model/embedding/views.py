"""Test-time augmentation: several variants of an image, with combined embeddings (Hermans et al., In Defense of the
Triplet Loss).

With crops, an image is resized to `pre_crop_size`, as for training with `random_crop`. It is then cut to `image_size`:
in the centre, or in the centre and the four corners. With `avgpool` it stays uncut, and the network's pooling averages
over the larger feature map. A flip adds the mirror image of each variant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.configuration.params import Params
from runtime.errors import UserError

CROPS = ("center", "five", "avgpool")
AGGREGATORS = ("mean", "normalized_mean")

# Position of each crop, as fractions of the margins above and on the left.
_PLACES = {
    "crop_center": (0.5, 0.5),
    "crop_top_left": (0, 0),
    "crop_top_right": (0, 1),
    "crop_bottom_left": (1, 0),
    "crop_bottom_right": (1, 1),
}


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Which variants of an image are embedded.

    Attributes:
        crops: one of CROPS, or None for the image resized to `image_size`.
        flip: also embed the mirror image of each variant.
    """

    __test__ = False  # the name would make pytest take it for a test

    crops: str | None = None
    flip: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """(A,) the variants' names in order, each followed by its mirror image."""
        plain = {None: ("original",), "avgpool": ("avgpool",), "center": ("crop_center",), "five": tuple(_PLACES)}[
            self.crops
        ]
        if not self.flip:
            return plain
        return tuple(each for name in plain for each in (name, "flip" if name == "original" else f"{name}_flip"))

    def load_shape(self, params: Params) -> tuple[int, int]:
        """(height, width) of the images before they are cut."""
        return params.pre_crop_shape if self.crops else params.image_shape

    def network_params(self, params: Params) -> Params:
        """The parameters for building the network: for `avgpool`, its input is larger than in training.

        Raises:
            UserError: when the head cannot take a larger input.
        """
        if self.crops != "avgpool":
            return params
        what = "head 'similarity'" if params.head == "similarity" else "pooling 'flatten'"
        if params.head == "similarity" or (params.pooling == "flatten" and params.head not in ("cgd", "gem")):
            raise UserError(
                f"--crop_augment avgpool: a network with {what} takes images of one size only; "
                "use --crop_augment five or center"
            )
        return params.model_copy(update={"image_size": list(params.pre_crop_shape)})

    def variants(self, images: Any, image_shape: tuple[int, int]) -> Iterator[Any]:
        """The variants of loaded images: (n, *load_shape, C) to A arrays (n, h, w, C), in the order of `names`.

        Args:
            images: a tensor or an array.
            image_shape: (height, width) of a crop.
        """
        for name in self.names:
            mirrored = name.endswith("flip")
            variant = self._cut(images, name.removesuffix("_flip"), image_shape)
            yield variant[:, :, ::-1] if mirrored else variant

    def _cut(self, images: Any, name: str, shape: tuple[int, int]) -> Any:
        if name not in _PLACES:
            return images
        # A margin of an odd number of pixels is larger below and on the right.
        top, left = (int((n - m) * part) for n, m, part in zip(images.shape[1:3], shape, _PLACES[name], strict=True))
        return images[:, top : top + shape[0], left : left + shape[1]]


def check_aggregator(augmentation: TestTimeAugmentation, aggregator: str | None) -> None:
    """Raises a UserError if several variants have no aggregator, or a single variant has one."""
    several = len(augmentation.names) > 1
    if several and aggregator is None:
        given = {"--flip_augment": augmentation.flip, "--crop_augment five": augmentation.crops == "five"}
        flags = " and ".join(flag for flag in given if given[flag])
        raise UserError(
            f"{flags}: each image gets {len(augmentation.names)} embeddings; "
            f"choose how to combine them: --aggregator mean or --aggregator normalized_mean"
        )
    if aggregator is not None and not several:
        raise UserError(
            f"--aggregator {aggregator}: each image gets one embedding, so there is nothing to combine; drop "
            f"--aggregator, or add --flip_augment or --crop_augment five"
        )


def aggregate(values: np.ndarray, aggregator: str | None) -> np.ndarray:
    """The embedding of each image: (n, A, D) float32 -> (n, D) float32.

    Args:
        values: embeddings of A variants.
        aggregator: "mean" over the variants; "normalized_mean", that mean divided by its length (a zero mean stays
            zero); None for one variant.
    """
    if aggregator is None:
        (values,) = np.moveaxis(values, 1, 0)
        return values
    mean = values.mean(axis=1, dtype=np.float64)  # (n, D)
    if aggregator == "normalized_mean":
        length = np.sqrt(np.square(mean).sum(axis=1, keepdims=True))
        mean = np.divide(mean, length, out=np.zeros_like(mean), where=length > 0)
    return mean.astype(np.float32)
