"""Parameters of the network."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from model.configuration.fields.types import Fields, Positive, one_of


def _descriptors(value: str | list[str]) -> str:
    text = "".join(value)
    if not text or set(text) - set("SMG"):
        raise ValueError(f"{text!r} must be a sequence of the letters S, M and G, such as 'SG'")
    return text


class NetworkParams(Fields):
    """Parameters of the network."""

    model_type: Annotated[str, one_of("model.network.backbones")] = Field("basic", description="Backbone, by name.")
    last_stride: Literal[1, 2] = Field(
        2,
        description="`resnet_v1_*`, `mobilenet_v2`: 1 leaves out the last down-sampling, so that the feature map has "
        "twice the height and width; the weights are the same.",
    )
    backbone_stage: Annotated[int, Field(ge=1, le=5)] | None = Field(
        None,
        description="Take the features of an earlier stage: s ends with the last block at 1 / 2^s of the image's size; "
        "null is the whole backbone.",
    )
    head: Annotated[str, one_of("model.network.heads")] = Field(
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
        "the pooled features: 2048 for ResNets, 1280 for `mobilenet_v2`.",
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
