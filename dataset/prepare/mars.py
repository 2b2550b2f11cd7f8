"""Prepares MARS: train.csv, query.csv and gallery.csv, with tracks in the column `sequence`.

    python -m dataset.prepare.mars --root MARS --out data/mars

The tracks are defined by info/tracks_{train,test}_info.mat, over the images of bbox_train and bbox_test. As in the
authors' evaluation, gallery.csv has all test tracks, and query.csv has those of query_IDX. A query's own track is
excluded from its ranking, like all gallery images of its identity and camera. Source: Zheng et al.: MARS: A Video
Benchmark for Large-Scale Person Re-identification, ECCV 2016.
"""

import argparse
import sys
from pathlib import Path

from dataset.formats.inside import check_inside
from dataset.formats.manifest import Row
from dataset.formats.reserved import DISTRACTOR, JUNK
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root
from dataset.sources.published_set import Command, Found
from dataset.sources.tracks import read_names, read_queries, read_tracks, track_rows
from runtime.errors import UserError

# For each split: folder of images, list of their names, table of tracks, variable of the table.
TRAIN = ("bbox_train", "info/train_name.txt", "info/tracks_train_info.mat", "track_train_info")
TEST = ("bbox_test", "info/test_name.txt", "info/tracks_test_info.mat", "track_test_info")
QUERIES = ("info/query_IDX.mat", "query_IDX")
LISTS = (*TRAIN[1:3], *TEST[1:3], QUERIES[0])
BENCHMARK = Benchmark(
    title="MARS",
    origin="MARS (Zheng et al., ECCV 2016)",
    published={
        "train_tracks": 8_298,
        "train_images": 509_914,
        "train_identities": 625,
        "query_tracks": 1_980,
        "query_identities": 626,
        "gallery_tracks": 12_180,
        "gallery_images": 681_089,
    },
    tracks=True,
)


def read_split(root: Path, split: tuple[str, str, str, str]) -> list[list[Row]]:
    """The rows of each track of a split."""
    folder, name_list, table, variable = split
    names = read_names(root / name_list)
    rows = track_rows(read_tracks(root / table, variable, len(names)), names, folder, root / table)
    check_inside(root, (path for track in rows for _, path, *_ in track), root / name_list)
    return rows


def find(args: argparse.Namespace) -> Found:
    """The tracks of lists and tables, checked against each other."""
    root = open_root(args.root, LISTS if args.check == "off" else (TRAIN[0], TEST[0], *LISTS))
    train, test = read_split(root, TRAIN), read_split(root, TEST)
    queries = read_queries(root / QUERIES[0], QUERIES[1], len(test))
    nobody = [number + 1 for number in queries if test[number][0][0] in (JUNK, DISTRACTOR)]
    if nobody:
        what = f"the track {nobody[0]} is junk or a distractor"
        raise UserError(f"{root / QUERIES[0]}: {what}; use files from one download")
    tables = {
        "train.csv": [row for track in train for row in track],
        "query.csv": [row for number in queries for row in test[number]],
        "gallery.csv": [row for track in test for row in track],
    }
    return Found(BENCHMARK, root, tables)


main = Command("mars", __doc__, find, "folder with bbox_train, bbox_test and info")

if __name__ == "__main__":
    sys.exit(main())
