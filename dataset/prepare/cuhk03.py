"""CUHK03, new protocol -> a prepared data set.

    python -m dataset.prepare.cuhk03 --root cuhk03 --kind labeled --out data/cuhk03_labeled

767 identities for training, 700 for testing, each query against the gallery of the other camera; `labeled` are
hand-drawn boxes, `detected` those of a detector. --root holds either the archive cuhk-03.mat (also in cuhk03_release)
beside cuhk03_new_protocol_config_<kind>.mat, and the images are extracted to OUT/images; or the folders of CUHK03-NP,
<kind>/bounding_box_train, query and bounding_box_test, and the images stay where they are.
Li et al.: DeepReID, CVPR 2014; Zhong et al.: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
"""

import argparse
import sys
from pathlib import Path

from dataset.formats.manifest import Tables
from dataset.sources.counts import Benchmark
from dataset.sources.cuhk03_archive import extract, read_protocol
from dataset.sources.layout import FOLDERS, open_root, read_splits
from dataset.sources.published_set import add_arguments, write_data_set
from runtime.errors import UserError, exit_code

KINDS = ("labeled", "detected")
PUBLISHED = {"labeled": (7_368, 1_400, 5_328), "detected": (7_365, 1_400, 5_332)}  # images: train, query, gallery
ARCHIVES = ("cuhk-03.mat", "cuhk03_release/cuhk-03.mat")


def benchmark(kind: str) -> Benchmark:
    """What was published of one kind of boxes."""
    train, query, gallery = PUBLISHED[kind]
    images = {"train_images": train, "query_images": query, "gallery_images": gallery}
    return Benchmark(
        title=f"CUHK03 ({kind}, new protocol)",
        origin=f"CUHK03, {kind} boxes, new protocol (Li et al., CVPR 2014; Zhong et al., CVPR 2017)",
        licence="not stated; given by its authors for research",
        published=images | {"train_identities": 767, "query_identities": 700, "gallery_identities": 700},
    )


def find_form(root: Path, kind: str) -> tuple[Path | None, Path | None, Path]:
    """(folder of the extracted form or None, archive or None, file of the protocol).

    Raises:
        UserError: when --root has neither form.
    """
    protocol = root / f"cuhk03_new_protocol_config_{kind}.mat"
    for base in (root, root / "cuhk03-np"):
        if all((base / kind / folder).is_dir() for folder in FOLDERS.values()):
            return base / kind, None, protocol
    archive = next((root / name for name in ARCHIVES if (root / name).is_file()), None)
    if archive is None:
        wanted = f"neither {kind}/{{{','.join(FOLDERS.values())}}} nor cuhk-03.mat beside {protocol.name}"
        raise UserError(f"--root {root}: there is {wanted} in it")
    return None, archive, protocol


def prepare(args: argparse.Namespace) -> int:
    """Finds the form, reads the split, writes the data set."""
    root = open_root(args.root, ())
    extracted, archive, protocol = find_form(root, args.kind)
    settings = {"kind": args.kind}
    if extracted:
        tables, others = read_splits(extracted, "cuhk03")
        write_data_set(args, benchmark(args.kind), extracted, tables, others, settings)
        return 0
    split = read_protocol(protocol)

    def make_images(folder: Path, tables: Tables) -> None:
        written = extract(archive, args.kind, folder, tables)
        print(f"{written} images extracted to {args.out}/images")

    odd = f"note: camId of {protocol.name} differs from the names for {split.odd_cameras} images; names were used"
    notes = (odd,) if split.odd_cameras else ()
    what = benchmark(args.kind)
    write_data_set(args, what, root, split.tables, None, settings, make_images, check_images=False, notes=notes)
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    text = "CUHK03 with its new protocol -> a prepared data set."
    parser = argparse.ArgumentParser(prog="python -m dataset.prepare.cuhk03", description=text)
    add_arguments(parser, "cuhk-03.mat and the protocol's file, or the folders of CUHK03-NP")
    parser.add_argument("--kind", required=True, choices=KINDS, help="hand-drawn boxes, or those of a detector")
    args = parser.parse_args(argv)
    return exit_code(lambda: prepare(args))


if __name__ == "__main__":
    sys.exit(main())
