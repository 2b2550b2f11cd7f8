"""Backbones: pixels to a feature map, one module per network.

A module here is one backbone. It defines

    CHANNELS                                    the image channels it needs: 3, or None for any
    preprocess(pixels) -> pixels                float32 in 0 .. 255, scaled as its pretrained weights expect
    build(image_shape, params) -> keras.Model   named "backbone", from such images (H, W, C) to features (h, w, F)
    stages(params) -> {stage: layer}            for `backbone_stage`: the name of the layer with which each stage ends,
                                                the last one that of the whole backbone

and a backbone with ImageNet weights takes them by `build(..., weights="imagenet")`. One that knows
`last_stride` defines

    LAST_STRIDES = (1, 2)                       the values of it that it can be built with
"""
