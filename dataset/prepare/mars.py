"""MARS -> a prepared data set.

    python -m dataset.prepare.mars --root MARS --out data/mars

Tracks of people, from info/tracks_{train,test}_info.mat, over the images of bbox_train and bbox_test; the column
`sequence` says which images are one track. gallery.csv has all test tracks and query.csv those that query_IDX names, as
in the authors' evaluation: what a query has in common with the gallery, its own track, is left out with its camera.
Zheng et al.: MARS: A Video Benchmark for Large-Scale Person Re-identification, ECCV 2016.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from dataset.formats.manifest import Row
from dataset.sources.counts import Benchmark
from dataset.sources.layout import open_root
from dataset.sources.names import DISTRACTOR, JUNK
from dataset.sources.published_set import add_arguments, write_data_set
from dataset.sources.tracks import read_names, read_queries, read_tracks, track_rows
from runtime.errors import UserError, exit_code

# Of each split: folder of images, list of their names, table of tracks, its variable.
TRAIN = ("bbox_train", "info/train_name.txt", "info/tracks_train_info.mat", "track_train_info")
TEST = ("bbox_test", "info/test_name.txt", "info/tracks_test_info.mat", "track_test_info")
QUERIES = ("info/query_IDX.mat", "query_IDX")
LISTS = (*TRAIN[1:3], *TEST[1:3], QUERIES[0])
BENCHMARK = Benchmark(
    title="MARS",
    origin="MARS (Zheng et al., ECCV 2016)",
    licence="not stated; given by its authors for research",
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
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{root / name_list}: {twice!a} stands twice in it")
    tracks = read_tracks(root / table, variable, len(names))
    return track_rows(tracks, names, folder, root / table)


def prepare(args: argparse.Namespace) -> int:
    """Reads lists and tables, holds them against each other, checks the images, writes the data set."""
    root = open_root(args.root, LISTS if args.check == "off" else (TRAIN[0], TEST[0], *LISTS))
    train, test = read_split(root, TRAIN), read_split(root, TEST)
    queries = read_queries(root / QUERIES[0], QUERIES[1], len(test))
    nobody = next((n + 1 for n in queries.tolist() if test[n][0][0] in (JUNK, DISTRACTOR)), None)
    if nobody:
        raise UserError(
            f"{root / QUERIES[0]}: the track {nobody} is junk or a distractor; take all files from one download"
        )
    tables = {
        "train.csv": [row for track in train for row in track],
        "query.csv": [row for number in queries for row in test[number]],
        "gallery.csv": [row for track in test for row in track],
    }
    write_data_set(args, BENCHMARK, root, tables)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    text = "MARS -> a prepared data set."
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare.mars", description=text)
    add_arguments(parser, "the folder that holds bbox_train, bbox_test and info")
    args = parser.parse_args(argv)
    return exit_code(lambda: prepare(args))


if __name__ == "__main__":
    sys.exit(main())
