"""Triplet strategies, one module each.

A module here is one strategy. It defines

    terms(chunk, margin, options) -> Terms

with `chunk` (losses/chunks.py) the distances of some anchors to all images, `margin` (losses/margins.py) the cost of a
triple with its slope, and `options` the rest of the settings (losses/terms.py). An anchor without a negative has its
nearest one at infinity: see `chunk.valid`. What a strategy gives back are sums and counts per anchor, so that chunks,
and the parts of a batch that is spread over several devices, add up to the loss of the whole batch; and the gradient by
the distances, in closed form, so that nothing larger than (chunk, batch) is ever kept. The mathematics is in
docs/losses.md.
"""
