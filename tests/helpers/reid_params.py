"""Parameters for person re-identification: upright images in small batches."""

from model.configuration.loading import check_params


def params_of(**values):
    """These values, else the defaults; checked."""
    return check_params({"image_size": [64, 32], "batch_p": 2, "batch_k": 2} | values, "x")
