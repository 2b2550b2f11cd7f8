"""Prepares CUHK03 (new protocol): train.csv, query.csv and gallery.csv.

    python -m dataset.prepare.cuhk03 --root cuhk03 --kind labeled --out data/cuhk03_labeled

767 identities are for training and 700 for testing; each query is compared with the gallery of the other camera. The
boxes are hand-drawn (`labeled`) or from a detector (`detected`). --root must have one of two forms:
- cuhk-03.mat (also in cuhk03_release) and cuhk03_new_protocol_config_<kind>.mat: images are extracted to OUT/images;
- the folders of CUHK03-NP, <kind>/bounding_box_train, query and bounding_box_test: the images stay where they are.
Sources: Li et al.: DeepReID, CVPR 2014; Zhong et al.: Re-ranking Person Re-identification with k-reciprocal Encoding,
CVPR 2017.
"""

import argparse
import sys
from pathlib import Path

from dataset.sources.counts import Benchmark
from dataset.sources.cuhk03_archive import extract, read_protocol
from dataset.sources.layout import FOLDERS, open_root, read_splits
from dataset.sources.published_set import Command, Found
from runtime.counting import counted
from runtime.errors import UserError
from runtime.printable import print_line

KINDS = ("labeled", "detected")
PUBLISHED = {"labeled": (7_368, 1_400, 5_328), "detected": (7_365, 1_400, 5_332)}  # images: train, query, gallery
PROTOCOL = "cuhk03_new_protocol_config_{}.mat"
ARCHIVES = ("cuhk-03.mat", "cuhk03_release/cuhk-03.mat")


def benchmark(kind: str) -> Benchmark:
    """The published description of one kind of boxes."""
    train, query, gallery = PUBLISHED[kind]
    images = {"train_images": train, "query_images": query, "gallery_images": gallery}
    return Benchmark(
        title=f"CUHK03 ({kind}, new protocol)",
        origin=f"CUHK03, {kind} boxes, new protocol (Li et al., CVPR 2014; Zhong et al., CVPR 2017)",
        published=images | {"train_identities": 767, "query_identities": 700, "gallery_identities": 700},
    )


def find_form(root: Path, kind: str) -> tuple[Path, Path | None]:
    """(folder of the extracted form, None), or (`root`, archive).

    Raises:
        UserError: when --root has neither form.
    """
    for base in (root, root / "cuhk03-np"):
        if all((base / kind / folder).is_dir() for folder in FOLDERS.values()):
            return base / kind, None
    for name in ARCHIVES:
        if (root / name).is_file():
            return root, root / name
    wanted = f"{kind}/{{{','.join(FOLDERS.values())}}}, or cuhk-03.mat and {PROTOCOL.format(kind)}"
    raise UserError(f"--root {root}: it must have {wanted}; name another folder")


def find(args: argparse.Namespace) -> Found:
    """The split in --root, in either form."""
    root, archive = find_form(open_root(args.root, ()), args.kind)
    what, settings = benchmark(args.kind), {"kind": args.kind}
    if archive is None:
        return Found(what, root, *read_splits(root, "cuhk03"), settings)
    protocol = root / PROTOCOL.format(args.kind)
    tables, odd = read_protocol(protocol)

    def make_images(folder: Path, paths: list[str]) -> None:
        print_line(f"{extract(archive, args.kind, folder, paths)} images extracted to {args.out}/images")

    note = f"note: in {protocol.name}, camId contradicts the file name of {counted(odd, 'image')}; the name was used"
    notes = (note,) if odd else ()
    return Found(what, root, tables, settings=settings, notes=notes, make_images=make_images, problems={})


main = Command(
    "cuhk03", __doc__, find, "folder with cuhk-03.mat and the file of the protocol, or the folder of CUHK03-NP"
)
main.add_argument("--kind", required=True, choices=KINDS, help="hand-drawn boxes, or boxes of a detector")

if __name__ == "__main__":
    sys.exit(main())
