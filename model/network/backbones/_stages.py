"""Changes to Keras's backbones.

`backbone_stage` ends the backbone at an earlier stage. `frozen_stages` are stages that do not learn. `last_stride: 1`
removes the last down-sampling.
"""

from typing import Any

import keras

from model.configuration.params import Params
from runtime.errors import UserError


def check_stage(params: Params, stages: dict[int, str]) -> None:
    """Checks `backbone_stage`, before a network is built.

    Args:
        params: the run's parameters.
        stages: the last layer of each stage that the backbone has.

    Raises:
        UserError: when the backbone has no such stage, or the stage ends before the one that `last_stride` changes.
    """
    stage = params.backbone_stage
    if stage is None:
        return
    if stage not in stages:
        raise UserError(
            f"backbone_stage is {stage}, but {params.model_type!r} has {_listed(stages)}; choose one of them, or null "
            f"for the whole backbone"
        )
    if params.last_stride == 1 and stage < max(stages):
        raise UserError(
            f"last_stride 1 has no effect with backbone_stage {stage}, which ends before the last stage; drop "
            f"one of the two"
        )


def up_to_stage(backbone: keras.Model, params: Params, stages: dict[int, str]) -> keras.Model:
    """The backbone itself, or its first part, up to the end of `backbone_stage`.

    Later layers see earlier ones only through the last layer of the stage. So this part has the first layers of the
    whole backbone, in the same order, and the weights files and checkpoints of the whole backbone fit.
    """
    if params.backbone_stage in (None, max(stages)):
        return backbone
    end = backbone.get_layer(stages[params.backbone_stage])
    return keras.Model(backbone.input, end.output, name=backbone.name)


def freeze_stages(backbone: keras.Model, params: Params, stages: dict[int, str]) -> None:
    """Makes the layers up to the end of stage `frozen_stages` untrainable, including their batch norm.

    Raises:
        UserError: when the backbone has no such stage.
    """
    stage = params.frozen_stages
    if not stage:
        return
    last = params.backbone_stage or max(stages)
    if stage not in stages or stage > last:
        able = {number: name for number, name in stages.items() if number <= last}
        raise UserError(
            f"frozen_stages is {stage}, but {params.model_type!r} here has {_listed(able)}; choose one of them, or 0"
        )
    for layer in keras.Model(backbone.input, backbone.get_layer(stages[stage]).output).layers:
        layer.trainable = False


def with_last_stride(network: keras.Model, params: Params, layers: dict[str, dict[str, Any]]) -> keras.Model:
    """The network itself, or with `last_stride: 1` a copy in which some layers have another configuration.

    Layers keep their names, their order, and the shapes and values of their weights. So weights files and checkpoints
    fit both.

    Args:
        network: with the last stride of 2.
        params: the run's parameters.
        layers: the changed entries of the configuration, by layer.
    """
    if params.last_stride == 2:
        return network

    def copy(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config(layer.get_config() | layers.get(layer.name, {}))

    changed = keras.models.clone_model(network, clone_function=copy)
    changed.set_weights(network.get_weights())
    return changed


def _listed(stages: dict[int, str]) -> str:
    *others, last = sorted(stages)
    return f"the stages {', '.join(map(str, others))} and {last}" if others else f"stage {last} only"
