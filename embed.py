"""Embeds the images of a CSV file with a trained network and writes them to an HDF5 file."""

import argparse
import json
import sys
import time
from pathlib import Path

from dataset.errors import UserError, exit_code
from model.command_line import add_run_arguments

# What main imports, it imports late: --help needs none of it, and a mistake in the parameters needs no TensorFlow.


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The file holds emb (N, D) float32, path and identity (N,), in the order of the CSV file; attributes "
        "name the checkpoint, the step and the parameters.",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--dataset", required=True, metavar="FILE.csv", help="images: identity,path[,camera[,sequence]]"
    )
    parser.add_argument(
        "--image_root",
        metavar="DIR",
        help="where its paths start (default: as the dataset.json beside it says, else there)",
    )
    parser.add_argument("--filename", required=True, metavar="OUT.h5", help="file to write")
    parser.add_argument(
        "--checkpoint", default="latest", metavar="NAME", help="latest, best, ckpt-1200, or a path (default: latest)"
    )
    parser.add_argument("--batch_size", type=int, metavar="N", help="images at a time (default: eval_batch_size)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)

    from dataset.checked import load_images
    from dataset.files import replace_file
    from model.checkpoint_files import find_checkpoint, step_of
    from model.run_folder import RunFolder

    run, csv, out = RunFolder(args.model_dir), Path(args.dataset), Path(args.filename)
    params = run.load_trained_params(args.set)
    checkpoint = find_checkpoint(run.folder, args.checkpoint)
    if args.batch_size is not None and args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: it must be at least 1")
    if not out.absolute().parent.is_dir():
        raise UserError(f"--filename {out}: the folder {out.absolute().parent} does not exist; make it first")
    if out.is_dir():
        raise UserError(f"--filename {out}: it is a folder; name a file in it, such as {out / 'embeddings.h5'}")
    with replace_file(out.with_name(f".{out.name}.write-test")) as probe:  # before hours are spent
        probe.write("")
    out.with_name(f".{out.name}.write-test").unlink()
    images = load_images(csv, image_root_of(csv, args.image_root), params.check_images, params.corrupt_images)

    from model.devices import prepare

    prepare(args.device, params.deterministic)
    from model.checkpoints import restore_model
    from model.embedder import build_embedder
    from model.embedding import Embedder
    from model.embedding_file import write_embeddings
    from model.monitoring import Log

    model = build_embedder(params)
    restore_model(checkpoint, model)
    log, start = Log(), time.perf_counter()
    log.line(f"embedding {len(images):,} images of {csv} with {checkpoint}")

    shown = [0.0]

    def progress(done: int) -> None:
        now = time.perf_counter()
        if now - shown[0] > 1 or done == len(images):
            shown[0] = now
            rate = done / (now - start)
            log.line(f"{done:,} of {len(images):,} images, {rate:,.0f} images/s", progress=done < len(images))

    files = images.manifest.files()
    emb = Embedder(model, params).embed(files, images.orientations, batch_size=args.batch_size, progress=progress)
    attributes = {"checkpoint": str(checkpoint), "step": step_of(checkpoint), "params": json.dumps(params.model_dump())}
    write_embeddings(out, emb, images.manifest, attributes)
    left_out = f"; {len(images.skipped)} broken images left out" if images.skipped else ""
    log.line(f"wrote {out}: emb {emb.shape}{left_out}")
    return 0


def image_root_of(csv: Path, given: str | None) -> Path:
    """Where a list's paths start: as given, as the dataset.json beside it says, or beside it."""
    if given is not None:
        return Path(given)
    from dataset.prepared import open_prepared

    return open_prepared(str(csv.parent)).image_root if (csv.parent / "dataset.json").exists() else csv.parent


if __name__ == "__main__":
    sys.exit(exit_code(main))
