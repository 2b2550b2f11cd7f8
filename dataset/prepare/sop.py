"""Stanford Online Products -> a prepared data set.

    python -m dataset.prepare.sop --root Stanford_Online_Products --out data/sop

train.csv from Ebay_train.txt, test.csv from Ebay_test.txt, whose products are others; each test image is a query
against all other test images. An identity is a class_id: one product on sale. Song et al.: Deep Metric Learning via
Lifted Structured Feature Embedding, CVPR 2016.
"""

import argparse
import sys
from pathlib import Path

from dataset.formats.manifest import Row
from dataset.sources.counts import Benchmark, shared_identities
from dataset.sources.layout import open_root
from dataset.sources.published_set import add_arguments, write_data_set
from dataset.sources.word_lists import read_words
from runtime.errors import UserError, exit_code

LISTS = {"train.csv": "Ebay_train.txt", "test.csv": "Ebay_test.txt"}
COLUMNS = "image_id class_id super_class_id path"
BENCHMARK = Benchmark(
    title="Stanford Online Products",
    origin="Stanford Online Products (Song et al., CVPR 2016)",
    licence="not stated; given by its authors for research",
    published={
        "train_images": 59_551,
        "train_identities": 11_318,
        "test_images": 60_502,
        "test_identities": 11_316,
    },
)


def read_list(path: Path) -> list[Row]:
    """Rows (identity, path) of one list.

    Raises:
        UserError: for another form, or an image that is named twice.
    """
    rows, seen = [], set()
    for _, identity, _, image in read_words(path, COLUMNS, header=True):
        if image in seen:
            raise UserError(f"{path}: {image} stands twice in it")
        seen.add(image)
        rows.append((identity, image))
    return rows


def prepare(args: argparse.Namespace) -> int:
    """Reads the lists, checks them, writes the data set."""
    root = open_root(args.root, tuple(LISTS.values()))
    tables = {table: read_list(root / name) for table, name in LISTS.items()}
    if shared := shared_identities(tables):
        files = " and ".join(LISTS.values())
        raise UserError(f"{root}: class_id {shared[0]} is in {files}; these must have no class in common")
    write_data_set(args, BENCHMARK, root, tables)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    text = "Stanford Online Products -> a prepared data set."
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare.sop", description=text)
    add_arguments(parser, "Stanford_Online_Products: Ebay_train.txt, Ebay_test.txt and the folders of images")
    args = parser.parse_args(argv)
    return exit_code(lambda: prepare(args))


if __name__ == "__main__":
    sys.exit(main())
