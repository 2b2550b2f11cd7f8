"""Embeds images with a trained network and writes one vector per image to a file."""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from dataset.formats.image_list import STANDARD_INPUT, read_image_list
from dataset.loading.checked import CheckedImages, check_images
from model.configuration.params import Params
from model.embedding.outputs import check_contents, check_filename, form_of, paths_file
from model.embedding.shards import merge, parse_shard, shard_file, shard_of_task
from model.embedding.views import AGGREGATORS, CROPS, TestTimeAugmentation, check_aggregator
from model.run.arguments import add_run_arguments
from model.run.checkpoint_files import find_checkpoint
from model.run.devices import prepare
from model.run.run_folder import RunFolder
from runtime.arguments import Parser, number
from runtime.counting import counted
from runtime.errors import UserError, exit_code
from runtime.files import temporary_name
from runtime.locks import only_one
from runtime.printable import print_line

_FILENAME = (
    "file to write; its ending chooses the format: .h5 or .hdf5; .npy, with the paths in a second file (vectors.npy, "
    "vectors.paths.txt); or .csv (path,v1,v2,...)"
)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        description=__doc__,
        epilog="To resume an interrupted command, repeat it. "
        "embed.py merge --filename OUT.h5 PART.h5 ... joins the files made with --shard. See docs/embedding.md.",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--dataset",
        required=True,
        metavar="IMAGES",
        help="a folder; a pattern in quotes, such as 'photos/**/*.jpg'; a text file (.txt) with one path per line; a "
        "CSV file identity,path[,camera[,sequence]], or one with a column named path; or - to read paths from standard "
        "input",
    )
    parser.add_argument(
        "--image_root",
        metavar="DIR",
        help="folder that relative paths start from (default: for a list, image_root of the dataset.json next to it, "
        "else the list's folder; for a pattern or standard input, the current folder)",
    )
    parser.add_argument("--filename", required=True, metavar="OUT", help=_FILENAME)
    parser.add_argument(
        "--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)"
    )
    parser.add_argument(
        "--batch_size", type=number(int, 1), metavar="N", help="images per batch (default: eval_batch_size)"
    )
    parser.add_argument("--flip_augment", action="store_true", help="also embed the mirror image of each view")
    parser.add_argument(
        "--crop_augment",
        choices=CROPS,
        help="resize to pre_crop_size, then embed the centre crop (center), the centre and the four corners (five), or "
        "the whole image (avgpool)",
    )
    parser.add_argument(
        "--aggregator",
        choices=AGGREGATORS,
        help="how the embeddings of several views become one: their mean, or their mean divided by its length",
    )
    parser.add_argument("--float16", action="store_true", help="store the vectors in half precision")
    parser.add_argument(
        "--shard",
        metavar="i/n",
        help="embed only part i of n; embed.py merge joins the parts. auto: the part of this task of a SLURM job or of "
        "TF_CONFIG, written to OUT.i-of-n.h5",
    )
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    args, others = parser.parse_known_args(argv)
    if others and not others[0].startswith("-"):
        what = f"--dataset takes one name, but {len(others):,} more follow, the first is {others[0]}"
        raise UserError(f"{what}; put a pattern in quotes, or the shell expands it; or name a folder or a list")
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    return args


def parse_merge(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="embed.py merge", description="Joins the files made by embed.py --shard. Their order does not matter."
    )
    parser.add_argument("--filename", required=True, metavar="OUT", help=_FILENAME)
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    parser.add_argument("parts", nargs="+", metavar="PART.h5", help="the files of all shards")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return merge_command(parse_merge(argv[1:])) if argv[:1] == ["merge"] else embed_command(parse(argv))


def embed_command(args: argparse.Namespace) -> int:
    run, out = RunFolder(args.model_dir), Path(args.filename)
    shard = parse_shard(args.shard) if args.shard not in (None, "auto") else None
    if args.shard == "auto":
        shard = shard_of_task()
        out = shard_file(out, shard)
    params = run.load_trained_params(args.set)
    augmentation = TestTimeAugmentation(args.crop_augment, args.flip_augment)
    check_aggregator(augmentation, args.aggregator)
    augmentation.network_params(params)  # raises for a head that cannot take the views
    checkpoint = find_checkpoint(run.folder, args.checkpoint)
    check_filename(out, [Path(args.dataset)])  # an error now, not after hours
    check_contents(out, (), args.float16, shard)
    with only_writer(out):
        images = read_images(args.dataset, args.image_root, params)
        source = images.manifest.source
        check_contents(out, images.manifest.paths)
        if shard and shard.of > len(images):
            raise UserError(f"--shard {shard}: {source} has only {counted(len(images), 'image')}; use fewer shards")
        prepare(args.device, params.deterministic)
        from model.embedding.job import Job, embed_to_file  # loads TensorFlow: only after all checks

        job = Job(
            checkpoint, params, images, shard, augmentation, args.aggregator, args.float16, args.batch_size, args.quiet
        )
        start, stop = job.rows
        part = f", shard {shard}" if shard else ""
        times = f", {len(augmentation.names)} views of each," if len(augmentation.names) > 1 else ""
        job.say(f"embedding {counted(stop - start, 'image')} of {source}{part}{times} with {checkpoint}")
        if stopped := embed_to_file(job, out):
            return stopped
        broken = f"; {counted(len(images.skipped), 'broken image')} skipped" if images.skipped else ""
        paths = f" and {paths_file(out)}" if form_of(out) == "NumPy" else ""
        job.say(f"wrote {out}{paths}: emb {(stop - start, params.embedding_size)}{broken}")
    return 0


def read_images(source: str, image_root: str | None, params: Params) -> CheckedImages:
    """The checked images. If one is missing, the error names the folder in which relative paths were taken to start."""
    manifest = read_image_list(source, image_root)
    try:
        return check_images(manifest, params.check_images, params.corrupt_images)
    except UserError as error:
        if "no such file" in str(error) and image_root is None and (source == STANDARD_INPUT or Path(source).is_file()):
            start = f"relative paths were taken to start in {manifest.image_root}; --image_root names another folder"
            raise UserError(f"{error}; {start}") from error
        raise


def merge_command(args: argparse.Namespace) -> int:
    out, parts = Path(args.filename), [Path(part) for part in args.parts]
    check_filename(out, parts)
    with only_writer(out):
        shape = merge(out, parts)
    if not args.quiet:
        print_line(f"wrote {out}: emb {shape} from {counted(len(parts), 'shard')}")
    return 0


@contextlib.contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Keeps other processes from writing the same file. Removes its lock file at the end."""
    lock = temporary_name(out, ".lock")
    with only_one(lock, f"--filename {out}: another embed.py is writing it; wait for it, or name another file"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(exit_code(main))
