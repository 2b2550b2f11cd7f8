"""Triplet strategies, one module each. The module's name is the value of the parameter `triplet_strategy`.

A module defines

    terms(chunk, margin, options) -> Terms

`chunk` (losses/chunks.py) has the distances from some anchors to all images, `margin` (losses/margins.py) gives the
loss of a triplet and its slope, and `options` holds further settings (losses/terms.py). The nearest negative of an
anchor without negatives is at infinity: see `chunk.valid`.

A strategy returns sums and counts per anchor: added up over the chunks, and over the devices that share a batch, they
give the loss of the whole batch. It also returns the gradient by the distances in closed form, so nothing larger than
(chunk, batch) is kept. docs/losses.md has the mathematics.

    >>> from model.losses.triplet import triplet_loss
    >>> loss, values = triplet_loss("batch_all", [0, 0, 1], [[0.0], [1.0], [3.0]], margin=2.0, metric="euclidean")
    >>> float(loss), values.total.numpy().tolist()
    (1.0, [0.0, 1.0, 0.0])
"""
