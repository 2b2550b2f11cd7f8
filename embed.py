"""Embeds images with a trained network and writes their vectors to a file."""

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from dataset.formats.image_list import STANDARD_INPUT, read_image_list
from dataset.loading.checked import CheckedImages, check_images
from model.configuration.params import Params
from model.embedding.outputs import check_contents, check_filename, form_of, paths_file
from model.embedding.shards import merge, parse_shard
from model.embedding.views import AGGREGATORS, CROPS, TestTimeAugmentation, check_aggregator
from model.run.arguments import add_run_arguments
from model.run.checkpoint_files import find_checkpoint
from model.run.devices import prepare
from model.run.run_folder import RunFolder
from runtime.arguments import Parser, number
from runtime.errors import UserError, exit_code
from runtime.files import only_one

_FILENAME = (
    "file to write; its ending says in which form: .h5 (or .hdf5), .npy (with a list of paths: vectors.npy, "
    "vectors.paths.txt) or .csv (path,v1,v2,...)"
)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="The same command resumes a run that was interrupted. "
        "embed.py merge --filename OUT.h5 PART.h5 ... joins what --shard has made. docs/embedding.md has more.",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="IMAGES",
        help="a folder; a pattern in quotes, such as 'photos/**/*.jpg'; a text file (.txt) with a path a line; a CSV "
        "file identity,path[,camera[,sequence]] or with a column path beside others; or - for paths on standard input",
    )
    parser.add_argument(
        "--image_root",
        metavar="DIR",
        help="where relative paths start (default: for a file as the dataset.json beside it says, else in its folder; "
        "for a pattern and standard input here)",
    )
    parser.add_argument("--filename", required=True, metavar="OUT", help=_FILENAME)
    parser.add_argument(
        "--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)"
    )
    parser.add_argument(
        "--batch_size", type=number(int, 1), metavar="N", help="images at a time (default: eval_batch_size)"
    )
    parser.add_argument("--flip_augment", action="store_true", help="embed the mirror image of each variant as well")
    parser.add_argument(
        "--crop_augment",
        choices=CROPS,
        help="resize to pre_crop_size, then embed the centre crop, that and the four corners, or the whole uncropped",
    )
    parser.add_argument(
        "--aggregator",
        choices=AGGREGATORS,
        help="how the embeddings of several variants become one: their mean, or that divided by its length",
    )
    parser.add_argument("--float16", action="store_true", help="store half precision")
    parser.add_argument(
        "--shard", type=parse_shard, metavar="i/n", help="embed only part i of n; embed.py merge joins them"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    args, others = parser.parse_known_args(argv)
    if others and not others[0].startswith("-"):
        what = f"{others[0]}: one name too many (of {len(others):,})"
        raise UserError(f"{what}; put a pattern in quotes, or the shell replaces it; or name the folder or a list")
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return args


def parse_merge(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="embed.py merge", description="Joins the files that embed.py --shard has made, given in any order."
    )
    parser.add_argument("--filename", required=True, metavar="OUT", help=_FILENAME)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("parts", nargs="+", metavar="PART.h5", help="the files of all shards")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return merge_command(parse_merge(argv[1:])) if argv[:1] == ["merge"] else embed_command(parse(argv))


def embed_command(args: argparse.Namespace) -> int:
    run, out, shard = RunFolder(args.model_dir), Path(args.filename), args.shard
    params = run.load_trained_params(args.set)
    augmentation = TestTimeAugmentation(args.crop_augment, args.flip_augment)
    check_aggregator(augmentation, args.aggregator)
    augmentation.network_params(params)  # raises for a head that cannot take the variants
    checkpoint = find_checkpoint(run.folder, args.checkpoint)
    check_filename(out, [Path(args.dataset)])  # before hours are spent
    check_contents(out, (), args.float16, shard)
    with only_writer(out):
        images = read_images(args.dataset, args.image_root, params)
        source = images.manifest.source
        check_contents(out, images.manifest.paths)
        if shard and shard.of > len(images):
            raise UserError(f"--shard {shard}: {source} has only {len(images)} images; make at most as many shards")
        prepare(args.device, params.deterministic)
        from model.embedding.job import Job, embed_to_file  # TensorFlow: not to find a mistake in the arguments

        job = Job(
            checkpoint, params, images, shard, augmentation, args.aggregator, args.float16, args.batch_size, args.quiet
        )
        start, stop = job.rows
        part = f", shard {shard}" if shard else ""
        times = f", {len(augmentation.names)} variants of each," if len(augmentation.names) > 1 else ""
        job.say(f"embedding {stop - start:,} images of {source}{part}{times} with {checkpoint}")
        if stopped := embed_to_file(job, out):
            return 128 + signal.Signals[stopped]
        left_out = f"; {len(images.skipped)} broken images left out" if images.skipped else ""
        beside = f" and {paths_file(out)}" if form_of(out) == "NumPy" else ""
        job.say(f"wrote {out}{beside}: emb {(stop - start, params.embedding_size)}{left_out}")
    return 0


def read_images(source: str, image_root: str | None, params: Params) -> CheckedImages:
    """The images, checked; where one is missing, the message tells where paths were taken to start."""
    manifest = read_image_list(source, image_root)
    try:
        return check_images(manifest, params.check_images, params.corrupt_images)
    except UserError as error:
        if "no such file" in str(error) and image_root is None and (source == STANDARD_INPUT or Path(source).is_file()):
            start = f"Its paths were taken to start at {manifest.image_root}: else give --image_root"
            raise UserError(f"{error}. {start}") from error
        raise


def merge_command(args: argparse.Namespace) -> int:
    out, parts = Path(args.filename), [Path(part) for part in args.parts]
    check_filename(out, parts)
    with only_writer(out):
        shape = merge(out, parts)
    if not args.quiet:
        print(f"wrote {out}: emb {shape} of {len(parts)} shards")
    return 0


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Keeps a second process from the same file, and leaves nothing behind."""
    lock = out.with_name(f".{out.name}.lock")
    with only_one(lock, f"--filename {out}: another embed.py is writing it; wait for it, or name another file"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
