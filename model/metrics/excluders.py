"""Which gallery images do not take part in the ranking of a query.

An excluder is a function (query labels, gallery labels) -> (q, G) mask, True where the gallery image is left out.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from dataset.errors import UserError
from dataset.manifest import Manifest

JUNK_IDENTITY = "-1"
CAMERA_IN_NAME = {  # how a file name of the data set states its camera
    "market1501": re.compile(r"_c(\d+)s\d+_"),  # 0001_c1s1_001051_00.jpg
    "duke": re.compile(r"_c(\d+)_"),  # 0001_c2_f0046182.jpg
}


@dataclass(frozen=True)
class Labels:
    """The labels of N images as integer codes; query and gallery share the codes.

    Attributes:
        identities, paths: (N,) int32.
        junk: (N,) bool, detections without an identity ("-1"); only market1501 and duke look at it.
        cameras: (N,) int32; all 0 for an excluder that does not look at cameras.
    """

    identities: np.ndarray
    paths: np.ndarray
    junk: np.ndarray
    cameras: np.ndarray

    def __getitem__(self, block: slice) -> "Labels":
        return Labels(self.identities[block], self.paths[block], self.junk[block], self.cameras[block])


Excluder = Callable[[Labels, Labels], np.ndarray]


def exclude_same_image(query: Labels, gallery: Labels) -> np.ndarray:
    """The query image itself, known by its path: for a set that is evaluated all against all."""
    return query.paths[:, None] == gallery.paths[None, :]


def exclude_same_camera(query: Labels, gallery: Labels) -> np.ndarray:
    """Images of the query's identity from the query's camera, and junk: the protocol of Market-1501 and DukeMTMC-reID.

    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015.
    """
    same = query.identities[:, None] == gallery.identities[None, :]
    same &= query.cameras[:, None] == gallery.cameras[None, :]
    same |= gallery.junk[None, :]
    return same


EXCLUDERS: dict[str, Excluder] = {
    "diagonal": exclude_same_image,
    "market1501": exclude_same_camera,
    "duke": exclude_same_camera,
}
SAME_CAMERA = "left out of the gallery: the query's identity in the query's camera, and junk (identity -1)"
MEANINGS = {
    "diagonal": "diagonal (left out of the gallery: the query image itself)",
    "market1501": f"market1501 ({SAME_CAMERA})",
    "duke": f"duke ({SAME_CAMERA})",
}


def find_excluder(name: str) -> Excluder:
    """The excluder of that name.

    Raises:
        UserError: naming the choices.
    """
    if name not in EXCLUDERS:
        raise UserError(f"excluder {name!r}: it must be one of {', '.join(EXCLUDERS)}")
    return EXCLUDERS[name]


def encode_labels(query: Manifest, gallery: Manifest, name: str) -> tuple[Labels, Labels]:
    """The labels of both manifests as codes, for the excluder `name`.

    Cameras come from the manifests' camera column when both have one, else from the file names.

    Raises:
        UserError: for an unknown excluder, or when a camera is needed and a file name states none.
    """
    find_excluder(name)
    if name not in CAMERA_IN_NAME:
        cameras = (["0"] * len(query), ["0"] * len(gallery))
    elif query.cameras is not None and gallery.cameras is not None:
        cameras = (query.cameras, gallery.cameras)
    else:
        cameras = (cameras_of_names(query, name), cameras_of_names(gallery, name))
    identities = encode(query.identities, gallery.identities)
    paths = encode(query.paths, gallery.paths)
    camera_codes = encode(*cameras)
    junk = [np.asarray(m.identities == JUNK_IDENTITY) & (name in CAMERA_IN_NAME) for m in (query, gallery)]
    return (
        Labels(identities[0], paths[0], junk[0], camera_codes[0]),
        Labels(identities[1], paths[1], junk[1], camera_codes[1]),
    )


def encode(query: Iterable[str], gallery: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Strings -> int32 codes, equal for equal strings in either array."""
    codes: dict[str, int] = {}
    query_codes = np.array([codes.setdefault(value, len(codes)) for value in query], np.int32)
    gallery_codes = np.array([codes.setdefault(value, len(codes)) for value in gallery], np.int32)
    return query_codes, gallery_codes


def cameras_of_names(manifest: Manifest, name: str) -> list[str]:
    """The camera of every image, from its file name in the form of the data set `name`."""
    pattern, cameras = CAMERA_IN_NAME[name], []
    for path in manifest.paths:
        match = pattern.search(path.rsplit("/", 1)[-1])
        if not match:
            remedy = "add a column camera to the CSV, or choose another excluder"
            raise UserError(f"{manifest.source}: excluder {name}: no camera in the name of {path!r}; {remedy}")
        cameras.append(match[1])
    return cameras
