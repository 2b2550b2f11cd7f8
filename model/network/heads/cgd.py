"""Several global descriptors in one embedding (Jun et al., Combination of Multiple Global Descriptors, section 3.1).

Each letter of `descriptors` is one pooling of the features: S is the mean (SPoC), M the maximum (MAC), G the
generalised mean (GeM). A linear layer (without bias, except for `whitening`) reduces the pooled vector, which is then
divided by its length. The embedding is these vectors concatenated in the order of the letters, again with length 1.

The classifier sees the first descriptor. By default it is the pooled vector, so the classifier trains only the backbone
(section 3.2). With `classified_descriptor: "reduced"` it is the linear layer's output, which then learns as well.
"""

import keras

from model.configuration.params import Params
from model.network.heads import HeadOutputs, gem_pool, normalize
from runtime.errors import UserError


def head(features: keras.KerasTensor, params: Params) -> HeadOutputs:
    """(B, h, w, F) -> (B, D), rows of length 1; `classified` is the first descriptor, pooled (B, F) or reduced.

    Raises:
        UserError: when `embedding_size` is smaller than the number of descriptors.
    """
    letters = params.descriptors
    if len(letters) > params.embedding_size:
        raise UserError(
            f"head 'cgd': {letters!r} are {len(letters)} descriptors, but embedding_size is only "
            f"{params.embedding_size}; each needs at least one dimension"
        )
    pooled = [_descriptor(features, params, letter, f"{n}_{letter}") for n, letter in enumerate(letters)]  # n x (B, F)
    reduced, branches = [], []
    for n, (vector, width) in enumerate(zip(pooled, widths(params.embedding_size, len(letters)), strict=True)):
        name = f"{n}_{letters[n]}"
        reduce = keras.layers.Dense(
            width,
            use_bias=params.whitening != "none",
            kernel_initializer="orthogonal",
            dtype="float32",
            name=f"reduce_{name}",
        )
        reduced.append(reduce(vector))
        branches.append(normalize(reduced[-1], name=f"normalize_{name}"))  # (B, width)
    whole = branches[0]
    if len(branches) > 1:
        whole = keras.layers.Concatenate(dtype="float32", name="concatenate")(branches)  # (B, D)
    embedding = normalize(whole)
    classified = reduced[0] if params.classified_descriptor == "reduced" else pooled[0]
    return HeadOutputs(embedding, triplet=embedding, classified=classified)


def widths(embedding_size: int, descriptors: int) -> list[int]:
    """The dimensions of each descriptor: as equal as possible, the remainder going to the first ones."""
    each, rest = divmod(embedding_size, descriptors)
    return [each + 1] * rest + [each] * (descriptors - rest)


def _descriptor(features: keras.KerasTensor, params: Params, letter: str, name: str) -> keras.KerasTensor:
    """(B, h, w, F) -> (B, F) float32."""
    if letter == "G":
        return gem_pool(features, params, name=f"pool_{name}")
    layer = {"S": keras.layers.GlobalAveragePooling2D, "M": keras.layers.GlobalMaxPooling2D}[letter]
    return layer(dtype="float32", name=f"pool_{name}")(features)
