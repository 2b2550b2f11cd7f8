"""Prepares Stanford Online Products: train.csv, and test.csv with other products.

    python -m dataset.prepare.sop --root Stanford_Online_Products --out data/sop

They are the lists Ebay_train.txt and Ebay_test.txt. An identity is a class_id: one product on sale. Each test image is
a query against all others. Source: Song et al.: Deep Metric Learning via Lifted Structured Feature Embedding, CVPR
2016.
"""

import argparse
import sys

from dataset.formats.inside import check_inside
from dataset.sources.counts import Benchmark, shared_identities
from dataset.sources.layout import open_root
from dataset.sources.published_set import Command, Found
from dataset.sources.word_lists import read_words
from runtime.errors import UserError

LISTS = {"train.csv": "Ebay_train.txt", "test.csv": "Ebay_test.txt"}
BENCHMARK = Benchmark(
    title="Stanford Online Products",
    origin="Stanford Online Products (Song et al., CVPR 2016)",
    published={
        "train_images": 59_551,
        "train_identities": 11_318,
        "test_images": 60_502,
        "test_identities": 11_316,
    },
)


def find(args: argparse.Namespace) -> Found:
    """Both lists.

    Raises:
        UserError: as `read_words`, for a path that leads outside --root, and when the lists share a product.
    """
    root = open_root(args.root, tuple(LISTS.values()))
    tables = {}
    for table, name in LISTS.items():
        words = read_words(root / name, "image_id class_id super_class_id path", once="path", header=True)
        check_inside(root, (path for *_, path in words), root / name)
        tables[table] = [(identity, path) for _, identity, _, path in words]
    if shared := shared_identities(tables):
        files = " and ".join(LISTS.values())
        raise UserError(f"{root}: class_id {shared[0]} is in both {files}; download both again")
    return Found(BENCHMARK, root, tables)


main = Command(
    "sop", __doc__, find, "folder Stanford_Online_Products with Ebay_train.txt, Ebay_test.txt and the image folders"
)

if __name__ == "__main__":
    sys.exit(main())
