"""Prepares DukeMTMC-reID: train.csv, query.csv and gallery.csv.

    python -m dataset.prepare.dukemtmc --root DukeMTMC-reID --out data/dukemtmc

They are the images of bounding_box_train, query and bounding_box_test. 408 identities of the gallery have no query;
they are distractors. The authors have withdrawn the data set. Sources: Zheng, Zheng, Yang: Unlabeled Samples Generated
by GAN Improve the Person Re-identification Baseline in vitro, ICCV 2017; Ristani et al.: Performance Measures and a
Data Set for Multi-Target, Multi-Camera Tracking, 2016.
"""

import argparse
import sys

from dataset.sources.counts import Benchmark
from dataset.sources.layout import FOLDERS, open_root, read_splits
from dataset.sources.published_set import Command, Found

BENCHMARK = Benchmark(
    title="DukeMTMC-reID",
    origin="DukeMTMC-reID (Zheng et al., ICCV 2017; Ristani et al., 2016)",
    licence="withdrawn by its authors; see the licence files that came with it",
    published={
        "train_images": 16_522,
        "train_identities": 702,
        "query_images": 2_228,
        "query_identities": 702,
        "gallery_images": 17_661,
        "gallery_identities": 1_110,
    },
)


def find(args: argparse.Namespace) -> Found:
    """The images of the three folders."""
    root = open_root(args.root, tuple(FOLDERS.values()))
    tables, others = read_splits(root, "dukemtmc")
    return Found(BENCHMARK, root, tables, others)


main = Command("dukemtmc", __doc__, find, "folder DukeMTMC-reID with bounding_box_train, query, bounding_box_test")

if __name__ == "__main__":
    sys.exit(main())
