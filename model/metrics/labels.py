"""Labels of queries and gallery as numbers, and the gallery images that match each query."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from dataset.formats.camera_names import CAMERA_IN_NAME
from dataset.formats.manifest import Manifest
from runtime.errors import UserError


class Labels(NamedTuple):
    """The labels of N images as codes (N,) int32, equal for equal strings in queries and gallery.

    `cameras` is all 0 for an excluder that does not use cameras.
    """

    identities: np.ndarray
    paths: np.ndarray
    cameras: np.ndarray

    def at(self, rows: np.ndarray) -> "Labels":
        """The labels of some images."""
        return Labels(self.identities[rows], self.paths[rows], self.cameras[rows])


class MatchLists(NamedTuple):
    """For Q queries, the gallery images that match and those that are excluded.

    Attributes:
        columns: (M,) gallery indices of the matches, query after query.
        offsets: (Q + 1,) where each query's part begins.
        left_out, left_out_offsets: the same for the excluded gallery images.
        only_left_out: (Q,) bool: the gallery has other images of the identity, but all are excluded.
    """

    columns: np.ndarray
    offsets: np.ndarray
    left_out: np.ndarray
    left_out_offsets: np.ndarray
    only_left_out: np.ndarray

    @property
    def used(self) -> np.ndarray:
        """(Q,) bool: the queries that have a match."""
        return np.diff(self.offsets) > 0

    def select(self, queries: np.ndarray) -> "MatchLists":
        """The lists of some queries, given by ascending numbers."""
        columns, offsets = _take(self.columns, self.offsets, queries)
        return MatchLists(columns, offsets, *_take(self.left_out, self.left_out_offsets, queries), self.only_left_out)


def encode_labels(query: Manifest, gallery: Manifest, with_cameras: bool) -> tuple[Labels, Labels]:
    """The labels of both manifests as codes.

    Raises:
        UserError: when a camera is needed and not known.
    """
    cameras = tuple(np.zeros(len(manifest), np.int32) for manifest in (query, gallery))
    if with_cameras and query.cameras is not None and gallery.cameras is not None:
        for source, named in ((query.source, query.cameras), (gallery.source, gallery.cameras)):
            if unknown := sum(not camera for camera in named):
                remedy = "fill it in, or choose --excluder diagonal"
                raise UserError(f"{source}: {unknown} images have an empty camera; {remedy}")
        cameras = encode(query.cameras, gallery.cameras)
    identities, paths = encode(query.identities, gallery.identities), encode(query.paths, gallery.paths)
    return Labels(identities[0], paths[0], cameras[0]), Labels(identities[1], paths[1], cameras[1])


def encode(query: Iterable[str], gallery: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Strings -> int32 codes, equal for equal strings in either array."""
    codes: dict[str, int] = {}
    query_codes = np.array([codes.setdefault(value, len(codes)) for value in query], np.int32)
    gallery_codes = np.array([codes.setdefault(value, len(codes)) for value in gallery], np.int32)
    return query_codes, gallery_codes


def cameras_of_names(manifest: Manifest, dataset: str) -> list[str]:
    """The camera of every image, from its file name, by the naming rule of `dataset`.

    Raises:
        UserError: for a file name without a camera; names it.
    """
    pattern, cameras = CAMERA_IN_NAME[dataset], []
    for path in manifest.paths:
        match = pattern.search(path.rsplit("/", 1)[-1])
        if not match:
            remedy = "add a column camera to the CSVs of both queries and gallery, or choose another excluder"
            raise UserError(f"{manifest.source}: excluder {dataset} finds no camera in the name of {path!r}; {remedy}")
        cameras.append(match[1])
    return cameras


def match_lists(query: Labels, gallery: Labels, left_out: Callable[[Labels, Labels], np.ndarray]) -> MatchLists:
    """The matches of every query, found without comparing all Q x G pairs.

    Args:
        query, gallery: labels; the gallery without junk.
        left_out: the excluder's function.
    """
    rows, columns = _pairs(query.identities, gallery.identities)
    other_rows, other_columns = _pairs(query.paths, gallery.paths)
    odd = query.identities[other_rows] != gallery.identities[other_columns]  # one file with two identities
    passed = left_out(query.at(rows), gallery.at(columns))
    odd[odd] = left_out(query.at(other_rows[odd]), gallery.at(other_columns[odd]))

    another = passed & (query.paths[rows] != gallery.paths[columns])
    only = np.zeros(len(query.identities), bool)
    only[rows[another]] = True
    only[rows[~passed]] = False

    offsets = _offsets(rows[~passed], len(only))
    out_rows = np.concatenate([rows[passed], other_rows[odd]])
    out_columns = np.concatenate([columns[passed], other_columns[odd]])
    order = np.argsort(out_rows, kind="stable")
    return MatchLists(columns[~passed], offsets, out_columns[order], _offsets(out_rows, len(only)), only)


def _pairs(query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All (query, gallery) pairs with equal codes: (P,) rows, ascending, and (P,) columns, ascending for each row."""
    order = np.argsort(gallery, kind="stable")
    first = np.searchsorted(gallery[order], query, "left")
    counts = np.searchsorted(gallery[order], query, "right") - first
    rows = np.repeat(np.arange(len(query)), counts)
    return rows, order[_ranges(first, counts)]


def _take(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of a ragged array, and their offsets."""
    counts = np.diff(offsets)[rows]
    return values[_ranges(offsets[rows], counts)], np.concatenate([[0], np.cumsum(counts)])


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ... (count numbers) for each pair, one after another."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts)


def _offsets(rows: np.ndarray, count: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
