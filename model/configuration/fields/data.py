"""Parameters of the images and their augmentation."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Aspect, Blend, Count, Fields, LowHigh, OneOf, Share, Size, Threads


def _half_a_circle_of_hue(ranges: list[float]) -> list[float]:
    if ranges[3] > 0.5:
        raise ValueError(f"{ranges} has a hue of {ranges[3]}; it must be at most 0.5, half the colour circle")
    return ranges


class DataParams(Fields):
    """Parameters of the images and their augmentation."""

    dataset: str = Field("synthetic_vid", description="Prepared data set: its folder, or its name in `data/`.")
    image_size: Size = Field(64, description="Input size of the network in pixels: one side, or `[height, width]`.")
    image_channels: Literal[1, 3] = Field(3, description="1 for grey images, 3 for RGB.")
    pre_crop_size: Size | None = Field(
        None,
        description="Size of training images before `random_crop` or `random_resized_crop`; null: 9/8 of `image_size`.",
    )
    pad_to_square: bool = Field(
        False,
        description="Pad images to a square before resizing, instead of stretching them; needs a square `image_size`.",
    )
    augmentation: list[Annotated[str, OneOf("dataset.augmentation")]] = Field(
        ["random_crop", "horizontal_flip"],
        max_length=100,
        description="Augmentations of every training image, applied in this order.",
    )
    augmentation_pool: list[Annotated[str, OneOf("dataset.augmentation")]] = Field(
        [],
        max_length=100,
        description="Further augmentations: each image gets a random choice of them, in random order.",
    )
    augmentation_pool_count: LowHigh[Count] = Field(
        [0, 2], description="`augmentation_pool`: how many an image gets, `[low, high]`."
    )
    rotated_identities: bool = Field(
        False,
        description="Add three identities for each one: its images rotated by 90, 180 and 270 degrees.",
    )
    scale_range: float = Field(0.2, ge=0, lt=1, description="`scale`, `affine`: largest zoom in or out, as a fraction.")
    translate_range: float = Field(
        0.1, ge=0, le=1, description="`translate`, `affine`: largest shift, as a fraction of the side."
    )
    rotate_range: float = Field(15.0, ge=0, le=180, description="`rotate`, `affine`: largest rotation, in degrees.")
    shear_range: float = Field(10.0, ge=0, lt=90, description="`shear`, `affine`: largest shear, in degrees.")
    grayscale_range: LowHigh[Blend] = Field(
        [0.0, 1.0], description="`grayscale`: share of the grey image in the blend, `[low, high]`."
    )
    resized_crop_area: LowHigh[Share] = Field(
        [0.08, 1.0],
        description="`random_resized_crop`: area of the crop as a fraction of the image, `[low, high]`.",
    )
    resized_crop_aspect: LowHigh[Aspect] = Field(
        [0.75, 1.3333],
        description="`random_resized_crop`: factor on the image's ratio of width to height, `[low, high]`.",
    )
    color_jitter_ranges: Annotated[
        list[Blend], Field(min_length=4, max_length=4), AfterValidator(_half_a_circle_of_hue)
    ] = Field(
        [0.2, 0.2, 0.2, 0.05],
        description="`color_jitter`: largest change of `[brightness, contrast, saturation, hue]` as a fraction.",
    )
    erasing_probability: float = Field(
        0.5, ge=0, le=1, description="`random_erasing`: probability that an image loses a rectangle."
    )
    erasing_area: LowHigh[Share] = Field(
        [0.02, 0.4],
        description="`random_erasing`: area of the rectangle as a fraction of the image, `[low, high]`.",
    )
    erasing_aspect: LowHigh[Aspect] = Field(
        [0.3, 3.33], description="`random_erasing`: ratio of the rectangle's height to its width, `[low, high]`."
    )
    erasing_fill: Literal["noise", "mean"] = Field(
        "noise",
        description="`random_erasing`: fill with a random value per pixel and channel, or with ImageNet's mean colour.",
    )
    check_images: Literal["headers", "full", "off"] = Field(
        "headers",
        description="Check before training: the first and last bytes of every file, every file in full, or nothing.",
    )
    corrupt_images: Literal["error", "skip"] = Field(
        "error", description="Broken images that `check_images` finds: stop with an error, or skip and count them."
    )
    image_cache: Literal["none", "encoded", "decoded"] = Field(
        "none", description="Keep training images in memory: not, as the bytes of their files, or as pixels."
    )
    num_parallel_calls: Threads | None = Field(
        None, description="Images loaded in parallel; null: twice the cores, at least 16."
    )
    prefetch_threads: Threads = Field(4, description="Batches prepared in advance.")

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
            raise ValueError(
                "augmentation has random_crop and random_resized_crop, but an image is cropped once; drop one"
            )
        if self.pad_to_square and self.image_shape[0] != self.image_shape[1]:
            raise ValueError(f"pad_to_square needs a square image_size, not {self.image_size}; change one of them")
        if any(p < i for p, i in zip(self.pre_crop_shape, self.image_shape, strict=True)):
            raise ValueError(
                f"pre_crop_size {self.pre_crop_size} is smaller than image_size {self.image_size}; increase it"
            )
        size = len(self.augmentation_pool)
        if self.augmentation_pool_count[1] > size > 0:
            raise ValueError(
                f"augmentation_pool_count is {self.augmentation_pool_count}, but augmentation_pool has only {size}; "
                f"set it to [0, {size}], or add augmentations"
            )
        if "random_crop" in self.augmentation_pool:
            raise ValueError(
                "augmentation_pool cannot have random_crop, as every image needs it; move it to augmentation"
            )
        return self


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
