"""Parameters of the network."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from model.configuration.fields.types import Fields, OneOf, Positive


def _descriptors(value: str | list[str]) -> str:
    text = "".join(value)
    if not text or set(text) - set("SMG"):
        raise ValueError(f"{text!r} must be a sequence of the letters S, M and G, such as 'SG'")
    return text


class NetworkParams(Fields):
    """Parameters of the network."""

    model_type: Annotated[str, OneOf("model.network.backbones")] = Field("basic", description="Backbone, by name.")
    last_stride: Literal[1, 2] = Field(
        2,
        description="`resnet_v1_*`, `mobilenet_*`: 1 leaves out the last down-sampling, so that the feature map has "
        "twice the height and width; the weights are the same.",
    )
    backbone_stage: Annotated[int, Field(ge=1, le=5)] | None = Field(
        None,
        description="Take the features of an earlier stage: s ends with the last block at 1 / 2^s of the image's size; "
        "null is the whole backbone.",
    )
    head: Annotated[str, OneOf("model.network.heads")] = Field(
        "direct", description="What turns backbone features into the embedding, by name."
    )
    pooling: Literal["average", "max", "flatten", "gem"] = Field(
        "average",
        description="How the head makes a vector of the backbone's feature map. "
        "`cgd`, `gem` and `similarity` have ways of their own.",
    )
    descriptors: Annotated[str | list[Literal["S", "M", "G"]], AfterValidator(_descriptors)] = Field(
        "SG",
        description="`cgd`: the global descriptors, in order: any sequence of S (SPoC, the mean), M (MAC, the maximum) "
        "and G (GeM). The first one is what `classification_weight` classifies.",
    )
    classified_descriptor: Literal["pooled", "reduced"] = Field(
        "pooled",
        description="`cgd`: what `classification_weight` classifies: the first descriptor as it is pooled, as in the "
        "paper, or after its linear layer, which then learns from it too.",
    )
    gem_p: float = Field(3.0, ge=1, le=100, description="GeM (`pooling`, `gem`, `cgd`): the exponent p.")
    gem_learned: bool = Field(False, description="GeM: learn p, from `gem_p` on; one p for all channels.")
    embedding_size: Positive = Field(
        128,
        description="D: dimensions of the embedding. Of `bnneck`, which has no linear layer, it must be the width of "
        "the pooled features: 2048 for ResNets, 1280 for `mobilenet_v2`, 1024 for `mobilenet_v1_1_224`.",
    )
    whitening: Literal["none", "start", "end", "both"] = Field(
        "none",
        description="Make the linear layers of `direct`, `gem` or `cgd` a whitening (PCA) of the training images' "
        "pooled features: before the first step, with `warm_start_from`; after the last one, in the place of what was "
        "learned; or both.",
    )
    preprocess: bool = Field(
        True, description="Scale pixels as the backbone's pretrained weights expect; false feeds them as 0..1."
    )
    num_channels: Positive | Annotated[list[Positive], Field(min_length=1)] = Field(
        32, description="`basic`: channels per block as a list; a number c is `[c, 2c, 4c, 8c]`."
    )
    use_batch_norm: bool = Field(True, description="`basic`: batch norm after every convolution.")
    bn_momentum: float = Field(0.9, ge=0, lt=1, description="`basic`: momentum of the batch norm's moving averages.")
    warm_start_from: str | None = Field(
        None,
        description='Weights to start from: "imagenet", a Keras weights file, a checkpoint, or another run.',
    )
    batch_norm: Literal["train", "frozen"] = Field(
        "train",
        description='The backbone\'s batch norm: "frozen" keeps it as `warm_start_from` gives it, statistics, scales '
        "and shifts.",
    )
    frozen_stages: int = Field(
        0,
        ge=0,
        le=5,
        description="The backbone's stages up to this one (counted as `backbone_stage`) stay as `warm_start_from` "
        "gives them, which saves the time of their gradients; 0 for none.",
    )
    freeze_backbone_steps: int = Field(
        0, ge=0, description="Steps in which the backbone stays as it is, and the head and the classifier learn."
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(
        "float32", description="Arithmetic of the backbone; the embedding and the loss are always float32."
    )

    @model_validator(mode="after")
    def _pretrained_parts_are_given(self) -> "NetworkParams":
        if self.batch_norm == "frozen" and self.warm_start_from is None:
            raise ValueError("batch_norm 'frozen' keeps the batch norm of pretrained weights: it needs warm_start_from")
        if self.frozen_stages and self.warm_start_from is None:
            raise ValueError("frozen_stages keeps pretrained stages as they are: it needs warm_start_from")
        if self.whitening in ("start", "both") and self.warm_start_from is None:
            raise ValueError(f"whitening {self.whitening!r} begins with a trained backbone: it needs warm_start_from")
        return self

    @model_validator(mode="after")
    def _head_and_pooling_fit(self) -> "NetworkParams":
        for name in self._changed("gem_learned", "gem_p"):
            if not (self.head in ("gem", "cgd") or (self.pooling == "gem" and self.head != "similarity")):
                raise ValueError(f"{name} has no effect without GeM: head 'gem' or 'cgd', or pooling 'gem'; drop it")
        for name in self._changed("classified_descriptor", "descriptors"):
            if self.head != "cgd":
                raise ValueError(f"{name} has no effect with head {self.head!r}: it must be 'cgd'; drop it")
        if self.whitening == "none":
            return self
        if self.head not in ("direct", "direct_normalize", "gem", "cgd"):
            raise ValueError(f"whitening needs a linear layer on pooled features, which head {self.head!r} has not")
        if self.pooling == "flatten" and self.head.startswith("direct"):
            raise ValueError("whitening with pooling 'flatten' would need a matrix as large as the feature map squared")
        return self

    def _changed(self, *names: str) -> list[str]:
        """Those that have not their default. (params.resolved.json gives every parameter, so that all are given.)"""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
