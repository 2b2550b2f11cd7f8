"""Backbones: pixels to a feature map, one module each. The module's name is the value of the parameter `model_type`.

A module defines

    CHANNELS                                    the number of image channels it needs: 3, or None for any
    preprocess(pixels) -> pixels                scales float32 pixels in 0 .. 255 as its pretrained weights expect
    build(image_shape, params) -> keras.Model   named "backbone", from scaled pixels (H, W, C) to features (h, w, F)
    stages(params) -> {stage: layer}            for `backbone_stage`: the name of each stage's last layer; the last
                                                stage ends with the whole backbone

A backbone with ImageNet weights loads them with `build(..., weights="imagenet")`. If it supports `last_stride`, it also
defines

    LAST_STRIDES = (1, 2)                       the supported values

    >>> from model.configuration.params import Params
    >>> from model.network.backbones import resnet_v1_50
    >>> resnet_v1_50.stages(Params(dataset="photos"))[4]
    'conv4_block6_out'
"""
