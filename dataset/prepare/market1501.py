"""Prepares Market-1501: train.csv, query.csv, gallery.csv, and multi_query.csv if gt_bbox is there.

    python -m dataset.prepare.market1501 --root Market-1501-v15.09.15 --out data/market1501

They are the images of bounding_box_train, query, bounding_box_test and gt_bbox. The gallery includes junk (identity -1)
and distractors (0000). Source: Zheng et al.: Scalable Person Re-identification: A Benchmark, ICCV 2015.
"""

import argparse
import sys

from dataset.formats.manifest import Row
from dataset.sources.counts import Benchmark
from dataset.sources.layout import FOLDERS, open_root, read_folder, read_splits
from dataset.sources.published_set import Command, Found

MULTI_QUERY = "gt_bbox"
BENCHMARK = Benchmark(
    title="Market-1501",
    origin="Market-1501 (Zheng et al., ICCV 2015)",
    published={
        "train_images": 12_936,
        "train_identities": 751,
        "query_images": 3_368,
        "query_identities": 750,
        "gallery_images": 19_732,
        "gallery_identities": 750,
        "gallery_junk_images": 3_819,
        "gallery_distractor_images": 2_798,
    },
)


def multi_query(rows: list[Row], query: list[Row]) -> list[Row]:
    """The hand-drawn boxes with the identity and camera of a query, sorted by both.

    Args:
        rows: the rows of gt_bbox, which also has training identities.
        query: the rows of query.csv.
    """
    asked = {(row[0], row[2]) for row in query}
    return sorted((row for row in rows if (row[0], row[2]) in asked), key=lambda row: (row[0], row[2], row[1]))


def find(args: argparse.Namespace) -> Found:
    """The images of the three folders and of gt_bbox."""
    root = open_root(args.root, tuple(FOLDERS.values()))
    tables, others = read_splits(root, "market1501")
    if (root / MULTI_QUERY).is_dir():
        rows, more = read_folder(root, MULTI_QUERY, "market1501")
        others += more
        if rows := multi_query(rows, tables["query.csv"]):
            tables["multi_query.csv"] = rows
    lack = f"note: no multi_query.csv, as {args.root} has no {MULTI_QUERY} with boxes of the queries"
    notes = () if "multi_query.csv" in tables else (lack,)
    return Found(BENCHMARK, root, tables, others, notes=notes)


main = Command(
    "market1501",
    __doc__,
    find,
    "folder Market-1501-v15.09.15 with bounding_box_train, query, bounding_box_test, and optionally gt_bbox",
)

if __name__ == "__main__":
    sys.exit(main())
