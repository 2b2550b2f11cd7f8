"""Parameters of the network."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Count, Fields, OneOf

Channels = Annotated[int, Field(ge=1, le=4096)]


def _descriptors(value: str | list[str]) -> str:
    text = "".join(value)
    if not text or set(text) - set("SMG"):
        raise ValueError(f"{text!r} must be a sequence of the letters S, M and G, such as 'SG'")
    return text


class NetworkParams(Fields):
    """Parameters of the network."""

    model_type: Annotated[str, OneOf("model.network.backbones")] = Field("basic", description="Name of the backbone.")
    last_stride: Literal[1, 2] = Field(
        2,
        description="`resnet_v1_*`, `mobilenet_*`: 1 omits the last downsampling: a feature map of twice the side.",
    )
    backbone_stage: Annotated[int, Field(ge=1, le=5)] | None = Field(
        None,
        description="Last stage of the backbone to use (stage s: 1 / 2^s of the image's size); null: all.",
    )
    head: Annotated[str, OneOf("model.network.heads")] = Field(
        "direct", description="Name of the head, which turns the backbone's features into the embedding."
    )
    pooling: Literal["average", "max", "flatten", "gem"] = Field(
        "average",
        description="How the head turns the feature map into a vector; `cgd`, `gem` and `similarity` ignore it.",
    )
    descriptors: Annotated[str | list[Literal["S", "M", "G"]], AfterValidator(_descriptors)] = Field(
        "SG",
        description="`cgd`: its descriptors in order, S (SPoC, mean), M (MAC, maximum) and G (GeM).",
    )
    classified_descriptor: Literal["pooled", "reduced"] = Field(
        "pooled",
        description="`cgd`: classify the first descriptor before (as in the paper) or after its linear layer.",
    )
    gem_p: float = Field(3.0, ge=1, le=100, description="GeM (`pooling`, `gem`, `cgd`): exponent p.")
    gem_learned: bool = Field(False, description="GeM: learn p, starting from `gem_p`; one p for all channels.")
    embedding_size: int = Field(
        128,
        ge=1,
        le=65536,
        description="D, dimensions of the embedding. `bnneck` needs the width of the pooled features.",
    )
    whitening: Literal["none", "start", "end", "both"] = Field(
        "none",
        description="Set the head's linear layers to a PCA whitening: before training, after it, or both.",
    )
    preprocess: bool = Field(
        True, description="Scale pixels as the backbone's pretrained weights expect; false: to 0..1."
    )
    num_channels: Channels | Annotated[list[Channels], Field(min_length=1, max_length=20)] = Field(
        32, description="`basic`: channels of each block; a number c stands for `[c, 2c, 4c, 8c]`."
    )
    use_batch_norm: bool = Field(True, description="`basic`: batch norm after each convolution.")
    bn_momentum: float = Field(0.9, ge=0, lt=1, description="`basic`: momentum of the moving averages of batch norm.")
    warm_start_from: str | None = Field(
        None,
        description='Initial weights: "imagenet", a Keras weights file, a checkpoint, or another run.',
    )
    batch_norm: Literal["train", "frozen"] = Field(
        "train",
        description='Batch norm of the backbone: "frozen" keeps statistics, scales and shifts of `warm_start_from`.',
    )
    frozen_stages: int = Field(
        0,
        ge=0,
        le=5,
        description="Stages 1 to this one (see `backbone_stage`) keep the weights of `warm_start_from`; 0: none.",
    )
    freeze_backbone_steps: Count = Field(
        0, description="Steps at the start in which only the head and the classifier learn."
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="Arithmetic of the backbone; embedding and loss are always float32."
    )

    @model_validator(mode="after")
    def _pretrained_parts_are_given(self) -> "NetworkParams":
        if self.batch_norm == "frozen" and self.warm_start_from is None:
            raise ValueError(
                "batch_norm 'frozen' keeps pretrained values: it needs warm_start_from; set that, or drop it"
            )
        if self.frozen_stages and self.warm_start_from is None:
            raise ValueError("frozen_stages keeps pretrained weights: it needs warm_start_from; set that, or drop it")
        if self.whitening in ("start", "both") and self.warm_start_from is None:
            raise ValueError(
                f"whitening {self.whitening!r} needs a trained backbone: set warm_start_from, or use 'end'"
            )
        return self

    @model_validator(mode="after")
    def _head_and_pooling_fit(self) -> "NetworkParams":
        for name in self._changed("gem_learned", "gem_p"):
            if not (self.head in ("gem", "cgd") or (self.pooling == "gem" and self.head != "similarity")):
                raise ValueError(f"{name} has no effect without GeM: head 'gem' or 'cgd', or pooling 'gem'; drop it")
        for name in self._changed("classified_descriptor", "descriptors"):
            if self.head != "cgd":
                raise ValueError(f"{name} has no effect with head {self.head!r}, only with 'cgd'; drop it")
        if self.whitening == "none":
            return self
        if self.head not in ("direct", "direct_normalize", "gem", "cgd"):
            raise ValueError(
                f"whitening needs a linear layer on pooled features; head {self.head!r} has none; use 'direct' or 'gem'"
            )
        if self.pooling == "flatten" and self.head.startswith("direct"):
            raise ValueError("whitening with pooling 'flatten' would need a huge matrix; use pooling 'average'")
        return self

    def _changed(self, *names: str) -> list[str]:
        """Those without their default value. (`model_fields_set` does not help: params.resolved.json sets all.)"""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
