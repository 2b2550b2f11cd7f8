"""Formats of exported models, one module each. The module's name is the value of `--format`.

Modules do not import TensorFlow; their functions do. A module defines

    FILE                                        the name of the file or folder that it writes
    PACKAGES                                    additional packages it needs, by the names they are imported with
    QUANTIZE                                    the values of --quantize that it takes
    write(model, path, quantize, images)        writes an embedder; images (n, H, W, C) uint8 calibrate int8
    open_model(path) -> function                opens it with the format's own runtime: (n, H, W, C) uint8 to (n, D)
                                                float32, for any n
    usage(path) -> text                         Python code for the card, from `images` to `embeddings`

    >>> from model.exporting.formats import onnx
    >>> onnx.FILE, onnx.QUANTIZE
    ('model.onnx', ('float16', 'int8'))
"""
