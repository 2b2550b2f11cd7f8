"""Tells whether a run resumes with the list of images that it was trained on. Needs no TensorFlow."""

import hashlib
from collections.abc import Iterable

from dataset.formats.manifest import Manifest
from model.run.run_folder import RunFolder
from runtime.errors import UserError
from runtime.json_files import read_json_object, write_json


def write_training_list(run: RunFolder, manifest: Manifest) -> None:
    """Records counts and digests of the training list in training_list.json."""
    write_json(run.training_list, describe_list(manifest))


def training_list_change(run: RunFolder, manifest: Manifest) -> str | None:
    """What changed in the training list since the last start; None if nothing did, or if it was not recorded."""
    try:
        before = read_json_object(run.training_list)
    except UserError:  # a run of an earlier version, or a damaged file, which is written again
        return None
    now = describe_list(manifest)
    changed = {key for key in now if before.get(key) != now[key]}
    if not changed:
        return None
    counts = ", ".join(f"{before.get(key)} -> {now[key]} {key}" for key in ("identities", "images") if key in changed)
    if counts:
        return f"the training list has {counts}"
    if "names" in changed:
        what = "some were replaced" if "paths" in changed else "some were renamed"
        return f"the training list has {now['identities']} identities as before, but {what}"
    if "paths" in changed:
        return f"the training list has {now['images']} images as before, but some were replaced or moved"
    return "images of the training list belong to other identities"


def describe_list(manifest: Manifest) -> dict[str, int | str]:
    """Counts and digests of a training list."""
    names = [str(name) for name in manifest.identities]
    different = sorted(set(names))
    return {
        "images": len(names),
        "identities": len(different),
        "names": _digest(different),
        "paths": _digest(manifest.paths),
        "labels": _digest(names),
    }


def _digest(texts: Iterable[str]) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(str(text).encode("utf-8", "surrogateescape") + b"\0")
    return found.hexdigest()[:16]
