"""Manifests and episodes with checked image files."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.formats.episodes import Episodes, read_episodes
from dataset.formats.manifest import Manifest, read_manifest
from dataset.loading.inspection import inspect_files
from runtime.counting import counted
from runtime.errors import UserError


@dataclass(frozen=True)
class CheckedImages:
    """A manifest, the EXIF orientation (1 .. 8) of each image, (N,) uint8, and skipped images: path -> problem."""

    manifest: Manifest
    orientations: np.ndarray
    skipped: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.manifest)


@dataclass(frozen=True)
class CheckedEpisodes:
    """Episodes, the EXIF orientation of each image, and the bad images that removed episodes: path -> problem."""

    episodes: Episodes
    orientations: np.ndarray
    skipped: dict[str, str] = field(default_factory=dict)


def load_images(csv: Path, image_root: Path, check: str = "headers", on_corrupt: str = "error") -> CheckedImages:
    """The images of a manifest, checked as the parameters `check_images` and `corrupt_images` say.

    Raises:
        UserError: naming the first bad file and how many there are.
    """
    return check_images(read_manifest(csv, image_root), check, on_corrupt)


def check_images(manifest: Manifest, check: str = "headers", on_corrupt: str = "error") -> CheckedImages:
    """The images of a manifest, checked; raises as `load_images`."""
    inspection, source = inspect_files(manifest.files(), check), manifest.source
    skipped = _judge(inspection.problems, manifest.files(), source, on_corrupt)
    keep = np.setdiff1d(np.arange(len(manifest)), list(inspection.problems))
    if not len(keep):
        raise UserError(f"{source}: none of its {len(manifest)} images can be read; the first: {next(iter(skipped))}")
    return CheckedImages(manifest.select(keep), inspection.orientations[keep], skipped)


def load_episodes(csv: Path, image_root: Path, check: str = "headers", on_corrupt: str = "error") -> CheckedEpisodes:
    """The episodes of a file, with checked images. With on_corrupt "skip", episodes with a bad image are excluded."""
    episodes = read_episodes(csv, image_root)
    inspection = inspect_files(episodes.files(), check)
    skipped = _judge(inspection.problems, episodes.files(), csv, on_corrupt)
    bad = np.isin(np.arange(len(episodes.paths)), list(inspection.problems))
    if not bad.any():
        return CheckedEpisodes(episodes, inspection.orientations)
    episodes, used = _without(episodes, bad)
    if not len(episodes):
        raise UserError(f"{csv}: every episode has an image that cannot be read; the first: {next(iter(skipped))}")
    return CheckedEpisodes(episodes, inspection.orientations[used], skipped)


def _judge(problems: dict[int, str], files: list[str], csv: Path, on_corrupt: str) -> dict[str, str]:
    """Raises a UserError for bad files, or returns them (path -> problem) if they may be skipped."""
    if problems and on_corrupt == "error":
        first = min(problems)
        more = f" (and {counted(len(problems) - 1, 'more bad image')})" if len(problems) > 1 else ""
        raise UserError(
            f"{csv}: {files[first]}: {problems[first]}{more}; fix the file or the list, "
            f"or set corrupt_images to 'skip' to skip such images"
        )
    return {files[index]: problem for index, problem in sorted(problems.items())}


def _without(episodes: Episodes, bad: np.ndarray) -> tuple[Episodes, np.ndarray]:
    """The episodes without `bad` (U,) images, and the indices of the images that they use in the old list."""
    keep = ~(bad[episodes.anchors] | bad[episodes.positives])
    keep &= ~np.logical_or.reduceat(bad[episodes.negatives], episodes.offsets[:-1])
    lengths = np.diff(episodes.offsets)
    members = episodes.anchors[keep], episodes.positives[keep], episodes.negatives[np.repeat(keep, lengths)]
    used, new = np.unique(np.concatenate(members), return_inverse=True)
    anchors, positives, negatives = np.split(new, np.cumsum([len(indices) for indices in members[:-1]]))
    kept = dataclasses.replace(
        episodes,
        names=episodes.names[keep],
        paths=episodes.paths[used],
        anchors=anchors,
        positives=positives,
        negatives=negatives,
        offsets=np.concatenate([[0], np.cumsum(lengths[keep])]),
        attributes={name: values[keep] for name, values in episodes.attributes.items()},
    )
    return kept, used
