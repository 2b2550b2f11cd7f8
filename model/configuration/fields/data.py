"""Parameters of the images and of their augmentation."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Above0, Blend, Count, Fields, LowHigh, OneOf, Positive, Share, Size


def _half_a_circle_of_hue(ranges: list[float]) -> list[float]:
    if ranges[3] > 0.5:
        raise ValueError(f"{ranges} has a hue of {ranges[3]}; it must be at most 0.5, half of the colour circle")
    return ranges


class DataParams(Fields):
    """Parameters of the images and of their augmentation."""

    dataset: str = Field("synthetic_vid", description="Prepared data set: its folder, or its name under `data/`.")
    image_size: Size = Field(64, description="Input of the network in pixels: a side, or `[height, width]`.")
    image_channels: Literal[1, 3] = Field(3, description="1 for grey, 3 for RGB images.")
    pre_crop_size: Size | None = Field(
        None,
        description="Size that training images get before `random_crop` or `random_resized_crop`; null is 9/8 of "
        "`image_size`.",
    )
    pad_to_square: bool = Field(
        False, description="Pad to a square before resizing, instead of stretching; for a square `image_size`."
    )
    augmentation: list[Annotated[str, OneOf("dataset.augmentation")]] = Field(
        ["random_crop", "horizontal_flip"], description="Training augmentations by name, applied in this order."
    )
    augmentation_pool: list[Annotated[str, OneOf("dataset.augmentation")]] = Field(
        [], description="Further augmentations: each image gets some of them, drawn at random, in random order."
    )
    augmentation_pool_count: LowHigh[Count] = Field(
        [0, 2], description="`augmentation_pool`: `[low, high]` of how many an image gets."
    )
    rotated_identities: bool = Field(
        False,
        description="Train also on every identity turned by 90, 180 and 270 degrees, each as one of its own.",
    )
    scale_range: float = Field(
        0.2, ge=0, lt=1, description="`scale`, `affine`: zoom by up to this fraction, in and out."
    )
    translate_range: float = Field(
        0.1, ge=0, le=1, description="`translate`, `affine`: shift by up to this fraction of a side."
    )
    rotate_range: float = Field(
        15.0, ge=0, le=180, description="`rotate`, `affine`: rotation by up to so many degrees."
    )
    shear_range: float = Field(10.0, ge=0, lt=90, description="`shear`, `affine`: shear by up to so many degrees.")
    grayscale_range: LowHigh[Blend] = Field(
        [0.0, 1.0], description="`grayscale`: `[low, high]` of the part of grey that is blended in."
    )
    resized_crop_area: LowHigh[Share] = Field(
        [0.08, 1.0],
        description="`random_resized_crop`: `[low, high]` of the crop's area, as a fraction of the image's.",
    )
    resized_crop_aspect: LowHigh[Above0] = Field(
        [0.75, 1.3333],
        description="`random_resized_crop`: `[low, high]` by which the crop's width by height differs from the "
        "image's.",
    )
    color_jitter_ranges: Annotated[
        list[Blend], Field(min_length=4, max_length=4), AfterValidator(_half_a_circle_of_hue)
    ] = Field(
        [0.2, 0.2, 0.2, 0.05],
        description="`color_jitter`: `[brightness, contrast, saturation, hue]`: the first three are times up to this "
        "fraction more or less, the hue turns by up to this part of the colour circle, at most 0.5.",
    )
    erasing_probability: float = Field(
        0.5, ge=0, le=1, description="`random_erasing`: share of the images that lose a rectangle."
    )
    erasing_area: LowHigh[Share] = Field(
        [0.02, 0.4],
        description="`random_erasing`: `[low, high]` of the rectangle's area, as a fraction of the image's.",
    )
    erasing_aspect: LowHigh[Above0] = Field(
        [0.3, 3.33], description="`random_erasing`: `[low, high]` of the rectangle's height by its width."
    )
    erasing_fill: Literal["noise", "mean"] = Field(
        "noise", description="`random_erasing`: a random value for each pixel and channel, or ImageNet's mean colour."
    )
    check_images: Literal["headers", "full", "off"] = Field(
        "headers",
        description="Before training: look at the first and last bytes of every file, decode every file, or neither.",
    )
    corrupt_images: Literal["error", "skip"] = Field(
        "error", description="What to do with images that `check_images` finds broken: stop, or leave out and count."
    )
    num_parallel_calls: Positive | None = Field(
        None, description="Images decoded at the same time; null lets tf.data decide."
    )
    prefetch_threads: Positive = Field(4, description="Batches prepared ahead of the training step.")

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return _pair(self.image_size)

    @property
    def pre_crop_shape(self) -> tuple[int, int]:
        """(height, width) of a training image before its random crop."""
        if self.pre_crop_size is not None:
            return _pair(self.pre_crop_size)
        height, width = self.image_shape
        return round(height * 9 / 8), round(width * 9 / 8)

    @model_validator(mode="after")
    def _sizes_and_augmentations_fit(self) -> "DataParams":
        crops = {"random_crop", "random_resized_crop"} & set(self.augmentation)
        if self.pre_crop_size is not None and not crops:
            raise ValueError(
                "pre_crop_size has no effect without random_crop or random_resized_crop in augmentation; "
                "add one, or drop the size"
            )
        if len(crops) == 2:
            raise ValueError("augmentation has random_crop and random_resized_crop, which cut out the same; drop one")
        if self.pad_to_square and self.image_shape[0] != self.image_shape[1]:
            raise ValueError(f"pad_to_square needs a square image_size, not {self.image_size}")
        if any(p < i for p, i in zip(self.pre_crop_shape, self.image_shape, strict=True)):
            raise ValueError(f"pre_crop_size {self.pre_crop_size} is smaller than image_size {self.image_size}")
        size = len(self.augmentation_pool)
        if self.augmentation_pool_count[1] > size > 0:
            raise ValueError(
                f"augmentation_pool_count {self.augmentation_pool_count}: augmentation_pool has only "
                f"{size}; set it to [0, {size}], or add others"
            )
        if "random_crop" in self.augmentation_pool:
            raise ValueError(
                "augmentation_pool cannot have random_crop, which every image needs; put it in augmentation"
            )
        return self


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
