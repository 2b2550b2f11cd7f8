"""Every reader of the project, and a valid file for each."""

import io
import json
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from helpers.reid_trees import make_cars196, make_cuhk03, make_mars, make_sop
from helpers.vid_tree import tree

from dataset.formats.episodes import read_episodes, write_attributes, write_episodes
from dataset.formats.image_list import read_image_list
from dataset.formats.manifest import read_manifest, write_manifest
from dataset.formats.prepared import open_prepared
from dataset.loading.inspection import inspect_files
from dataset.prepare import omniglot, sop
from dataset.prepare.cub import read_boxes
from dataset.sources import cuhk03_archive, stored_images, tracks
from dataset.sources.cars196_lists import read_cars
from dataset.sources.word_lists import read_words
from dataset.vid.annotations import parse_frame
from dataset.vid.index import make_index, read_index, write_index
from dataset.vid.output_folder import OutputFolder
from model.configuration.loading import load_params
from model.embedding import hdf5_file, outputs, shards
from model.embedding.contents import Contents
from model.embedding.partial import PartialEmbeddings
from model.run.best_json import read_best
from model.run.checkpoint_files import list_checkpoints
from model.run.results import read_results
from model.run.run_folder import RunFolder
from model.run.triples_file import load_triples, save_triples
from runtime.json_files import read_json, read_json_lines, write_json


@dataclass(frozen=True)
class Reader:
    """A reader.

    Attributes:
        make: writes a valid file into a folder, with what belongs to it, and returns it.
        read: reads the file.
        binary: damage single bytes rather than fields of text.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    binary: bool = False


def _text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
        return folder / name

    return make


_ROWS = [(f"p{i // 2}", f"images/{i}.jpg", f"c{i % 2}", f"s{i}") for i in range(8)]
_RESULT = {
    "step": 4,
    "set": "test",
    "checkpoint": "ckpt-4",
    "metrics": {"map": 0.5},
    "definitions": {"metric": "cosine"},
}
_LINES = "".join(json.dumps(_RESULT | {"step": step}) + "\n" for step in (2, 4, 6))
_XML = (
    "<annotation><folder>v</folder><filename>000000</filename><size><width>90</width><height>70</height></size>"
    "<object><trackid>0</trackid><name>n02084071</name><bndbox><xmax>50</xmax><xmin>1</xmin><ymax>9</ymax>"
    "<ymin>2</ymin></bndbox><occluded>0</occluded><generated>1</generated></object></annotation>\n"
)


def _manifest(folder: Path) -> Path:
    write_manifest(folder / "list.csv", _ROWS)
    return folder / "list.csv"


def _episodes(folder: Path) -> Path:
    file = folder / "episodes" / "set.csv"
    write_episodes(file, [(f"{i}.jpg", f"{i + 1}.jpg", [f"{i + 2}.jpg", f"{i + 3}.jpg"]) for i in range(3)])
    write_attributes(folder / "episodes" / "attributes" / "set.csv", {"snippet": ["a", "b", "c"], "gap": [1, 2, 3]})
    return file


def _attributes(folder: Path) -> Path:
    _episodes(folder)
    return folder / "episodes" / "attributes" / "set.csv"


def _read_attributes(file: Path) -> Any:
    return read_episodes(file.parent.parent / "set.csv", file.parent)


def _embeddings(folder: Path, name: str = "e.h5", shard: bool = False) -> Path:
    attributes: dict[str, Any] = {"params": '{"metric": "cosine"}', "step": 4, "checkpoint": "ckpt-4"}
    if shard:
        attributes |= {"shard": "1/2", "shard_of": json.dumps({"images": 12, "checkpoint": "a", "batch_size": 2})}
    paths, identities = (np.array([f"{kind}{i}" for i in range(6)], object) for kind in ("images/ä", "p"))
    block = np.arange(24, dtype=np.float32).reshape(6, 4)
    contents = Contents(paths, identities, 4, ("none", "mirror"), False, attributes)
    outputs.write_output(folder / name, contents, [(block, np.stack([block, block]))])
    return folder / name


def _chunked(folder: Path) -> Path:
    with h5py.File(folder / "e.h5", "w") as file:
        file.create_dataset("emb", data=np.ones((40, 4), np.float16), chunks=(8, 4), compression="gzip")
        file.create_dataset("path", data=[f"{i}.jpg" for i in range(40)], chunks=(8,))
    return folder / "e.h5"


def _partial(folder: Path) -> Path:
    PartialEmbeddings(folder / "p", {"list": "a", "batch_size": 2}, 6, 1, 4).append(np.ones((3, 1, 4), np.float32))
    return folder / "p"


def _read_partial(file: Path) -> None:
    partial = PartialEmbeddings(file, {"list": "b", "batch_size": 2}, 6, 1, 4)
    for block in partial.blocks() if partial.done else ():
        assert block.shape[1:] == (1, 4)


def _archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "images_background.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(1, 4):
            file.writestr(f"images_background/Greek/character01/0001_0{number}.png", omniglot.PNG_START + b"x" * 60)
    return folder / "images_background.zip"


def _read_archive(file: Path) -> None:
    drawings = omniglot.merge([str(file)], "background")
    with tempfile.TemporaryDirectory() as folder:
        omniglot.extract({"background": drawings, "evaluation": []}, Path(folder))


def _tar(folder: Path) -> Path:
    with tarfile.open(folder / "a.tgz", "w:gz") as file:
        for number in range(3):
            member = tarfile.TarInfo(f"cars/{number}.jpg")
            member.size, member.pax_headers = 700, {"comment": "ä" * 50}
            file.addfile(member, io.BytesIO(random.Random(number).randbytes(700)))
    return folder / "a.tgz"


def _index(folder: Path) -> Path:
    write_index(folder / "val.npz", make_index("val", tree("val"), []))
    return folder / "val.npz"


def _read_index(file: Path) -> None:
    assert all(frame.snippet for frame in read_index(file).frames())


def _triples(folder: Path) -> Path:
    save_triples(folder, 1, np.ones((5, 3), np.int64))
    return folder / "epoch-1.npy"


def _of_tree(make: Callable[[Path], Path], name: str) -> Callable[[Path], Path]:
    return lambda folder: make(folder) / name


def _settings(folder: Path) -> Path:
    write_json(folder / "settings.json", {"made_by": "dataset.prepare.imagenetvid", "root": "/x", "crops": None})
    return folder / "settings.json"


READERS = {
    "manifest": Reader(_manifest, lambda file: read_manifest(file, Path())),
    "episodes": Reader(_episodes, lambda file: read_episodes(file, Path())),
    "attributes": Reader(_attributes, _read_attributes),
    "image list": Reader(_text("a.txt", "a.jpg\nb/ä.jpg\nc.png\n"), lambda file: read_image_list(str(file))),
    "image table": Reader(_text("a.csv", "name,path\n1,a.jpg\n2,b/c.jpg\n"), lambda file: read_image_list(str(file))),
    "dataset.json": Reader(
        _text("dataset.json", '{"name": "a", "image_root": ".", "counts": {"train": 3}}\n'),
        lambda file: inspect_files([f"{open_prepared(str(file.parent)).image_root}/a.jpg"]),
    ),
    "params.json": Reader(
        _text("params.json", '{"dataset": "a", "margin": 0.5, "num_channels": [8, 8], "augmentations": ["scale"]}\n'),
        load_params,
    ),
    "results.jsonl": Reader(_text("results.jsonl", _LINES), lambda file: read_results(RunFolder(file.parent))),
    "metrics.jsonl": Reader(_text("metrics.jsonl", '{"step": 1, "loss": 0.5}\n{"step": 2}\n'), read_json_lines),
    "best.json": Reader(
        _text("best.json", '{"step": 4, "checkpoint": "ckpt-4", "set": "a", "metric": "map", "value": 0.5}\n'),
        lambda file: read_best(file.parent),
    ),
    "checkpoint": Reader(
        _text("checkpoint", 'model_checkpoint_path: "ckpt-4"\nall_model_checkpoint_paths: "ckpt-4"\n'),
        lambda file: list_checkpoints(file.parent),
    ),
    "settings.json": Reader(_settings, lambda file: OutputFolder(file.parent).crop_settings),
    "json": Reader(_text("a.json", '{"a": [1, 2.5, null], "b": {"c": "ä"}}\n'), read_json),
    "annotation": Reader(_text("000000.xml", _XML), parse_frame),
    "products": Reader(
        _of_tree(make_sop, "Ebay_train.txt"),
        lambda file: sop.find(sop.main.parse_args(["--root", str(file.parent), "--out", "x"])),
    ),
    "words": Reader(
        _text("w.txt", "1 a/b.jpg\n2 c d.jpg\n3 e.jpg\n"), lambda file: read_words(file, "image_id path", once="path")
    ),
    "boxes": Reader(
        _text("b.txt", "1 3.0 4.0 20.0 30.0\n2 1 1 9 9\n"), lambda file: read_boxes(file, {"a.jpg": "1", "b.jpg": "2"})
    ),
    "track names": Reader(
        _of_tree(lambda folder: make_mars(folder, pictures=False), "info/test_name.txt"), tracks.read_names
    ),
    "embeddings": Reader(_embeddings, hdf5_file.read_embeddings, binary=True),
    "chunked": Reader(_chunked, hdf5_file.read_embeddings, binary=True),
    "shard": Reader(
        lambda folder: _embeddings(folder, shard=True), lambda file: shards.merge(file.with_name("o.h5"), [file]), True
    ),
    "csv embeddings": Reader(
        lambda folder: _embeddings(folder, "e.csv"), lambda file: outputs.check_filename(file), binary=False
    ),
    "npy embeddings": Reader(
        lambda folder: _embeddings(folder, "e.npy"), lambda file: outputs.check_filename(file), binary=True
    ),
    "partial": Reader(_partial, _read_partial, binary=True),
    "zip": Reader(_archive, _read_archive, binary=True),
    "tar": Reader(_tar, lambda file: list(stored_images._read(file, {"cars/0.jpg", "cars/2.jpg"})), binary=True),
    "index": Reader(_index, _read_index, binary=True),
    "triples": Reader(_triples, lambda file: load_triples(file.parent, 1), binary=True),
    "tracks": Reader(
        _of_tree(lambda folder: make_mars(folder, pictures=False), "info/tracks_test_info.mat"),
        lambda file: tracks.read_tracks(file, "track_test_info", 90),
        binary=True,
    ),
    "cars": Reader(
        _of_tree(lambda folder: make_cars196(folder, form="whole"), "cars_annos.mat"),
        lambda file: read_cars(file.parent),
        binary=True,
    ),
    "protocol": Reader(
        _of_tree(make_cuhk03, "cuhk03_new_protocol_config_labeled.mat"), cuhk03_archive.read_protocol, binary=True
    ),
    "cuhk-03.mat": Reader(
        _of_tree(make_cuhk03, "cuhk-03.mat"),
        lambda file: list(cuhk03_archive.read_images(file, "labeled", ["1_001_1_01.png", "2_001_2_07.png"])),
        binary=True,
    ),
}
IN_A_CHILD = ("embeddings", "chunked", "shard", "tracks", "cars", "protocol", "cuhk-03.mat")  # slower to read
