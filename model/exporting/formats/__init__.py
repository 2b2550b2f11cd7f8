"""Formats of exported models, one module each.

A module here is one format. It is imported before TensorFlow, which its functions import themselves. It defines

    FILE                                        the name of the file, or folder, that it writes
    PACKAGES                                    what must be installed besides, by the names they are imported by
    QUANTIZE                                    which values of --quantize it takes
    write(model, path, quantize, images)        writes an embedder; images (n, H, W, C) uint8 are for the calibration
                                                of int8
    open_model(path) -> function                opens it with the format's own runtime: (n, H, W, C) uint8 to (n, D)
                                                float32, for any n
    usage(path) -> text                         Python code for the card, from `images` to `embeddings`
"""
