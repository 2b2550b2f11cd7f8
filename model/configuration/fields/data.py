"""Parameters of the images and of their augmentation."""

from typing import Annotated, Literal

from pydantic import Field

from model.configuration.fields.types import Above0, Blend, Count, Fields, Positive, Share, Size, low_high, one_of


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
    augmentation: list[Annotated[str, one_of("dataset.augmentation")]] = Field(
        ["random_crop", "horizontal_flip"], description="Training augmentations by name, applied in this order."
    )
    augmentation_pool: list[Annotated[str, one_of("dataset.augmentation")]] = Field(
        [], description="Further augmentations: each image gets some of them, drawn at random, in random order."
    )
    augmentation_pool_count: low_high(Count) = Field(
        [0, 2], description="`augmentation_pool`: `[low, high]` of how many an image gets."
    )
    rotated_identities: bool = Field(
        False,
        description="Train also on every identity turned by 90, 180 and 270 degrees, each as one of its own.",
    )
    flip_probability: float = Field(0.5, ge=0, le=1, description="`horizontal_flip`: share of the images.")
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
    grayscale_range: low_high(Blend) = Field(
        [0.0, 1.0], description="`grayscale`: `[low, high]` of the part of grey that is blended in."
    )
    resized_crop_area: low_high(Share) = Field(
        [0.08, 1.0],
        description="`random_resized_crop`: `[low, high]` of the crop's area, as a fraction of the image's.",
    )
    resized_crop_aspect: low_high(Above0) = Field(
        [0.75, 1.3333],
        description="`random_resized_crop`: `[low, high]` by which the crop's width by height differs from the "
        "image's.",
    )
    brightness_range: float = Field(
        0.2, ge=0, le=1, description="`color_jitter`: brightness times up to this fraction more or less."
    )
    contrast_range: float = Field(
        0.2, ge=0, le=1, description="`color_jitter`: contrast times up to this fraction more or less."
    )
    saturation_range: float = Field(
        0.2, ge=0, le=1, description="`color_jitter`: saturation times up to this fraction more or less."
    )
    hue_range: float = Field(
        0.05, ge=0, le=0.5, description="`color_jitter`: hue turned by up to this part of the colour circle."
    )
    erasing_probability: float = Field(
        0.5, ge=0, le=1, description="`random_erasing`: share of the images that lose a rectangle."
    )
    erasing_area: low_high(Share) = Field(
        [0.02, 0.4],
        description="`random_erasing`: `[low, high]` of the rectangle's area, as a fraction of the image's.",
    )
    erasing_aspect: low_high(Above0) = Field(
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
