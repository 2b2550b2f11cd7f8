"""The protocol of MARS: the same as for Market-1501, with other camera names.

Source: Zheng et al., MARS: A Video Benchmark for Large-Scale Person Re-Identification, ECCV 2016.
"""

from model.metrics.excluders import market1501

MEANING = market1501.MEANING.replace("market1501", "mars")
JUNK = market1501.JUNK
CAMERAS = "mars"
left_out = market1501.left_out
