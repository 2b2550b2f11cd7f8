"""Files of embeddings of queries and a gallery with what evaluate.py says of them, and a reference."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import average_precision_score

from dataset.formats.manifest import Manifest
from evaluate import main
from model.embedding.contents import Contents
from model.embedding.hdf5_file import write_blocks
from runtime.errors import exit_code

NAMES = {
    "market1501": "{}_c{}s1_{:06d}_00.jpg",
    "duke": "{}_c{}_f{:07d}.jpg",
    "mars": "{:0>4}C{}T0001F{:03d}.jpg",
}


class EmbeddingFiles:
    """Query and gallery in the older headerless form, with embeddings, in a folder."""

    def __init__(self, folder: Path, form: str = "market1501", columns: bool = False) -> None:
        random = np.random.default_rng(0)
        self.folder = folder
        for name, count in (("query", 20), ("gallery", 90)):
            identities = random.integers(1, 9, count)
            if name == "gallery":
                identities[:8], identities[8:15] = -1, 0
            cameras = random.integers(1, 4, count)
            emb = (np.eye(10, 6)[identities] + 0.6 * random.standard_normal((count, 6))).astype(np.float32)
            texts = [f"{i:04d}" if i >= 0 else "-1" for i in identities]
            paths = [NAMES[form].format(t, c, n) for n, (t, c) in enumerate(zip(texts, cameras, strict=True))]
            rows = [f"{i},{name}/{p}" for i, p in zip(texts, paths, strict=True)]
            if columns:
                rows = [f"{row},{c},{t}_{c}" for row, c, t in zip(rows, cameras, texts, strict=True)]
                rows.insert(0, "identity,path,camera,sequence")
            (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
            self.write(name, emb, [f"{name}/{p}" for p in paths], texts)
            setattr(self, name, (np.array(texts), cameras, emb))

    def write(self, name: str, emb: np.ndarray, paths: list[str] | None, texts: list[str] | None, **attributes) -> None:
        with h5py.File(self.folder / f"{name}.h5", "w") as file:
            file["emb"] = emb
            if paths is not None:
                file.create_dataset("path", data=list(paths), dtype=h5py.string_dtype())
                file.create_dataset("identity", data=list(map(str, texts)), dtype=h5py.string_dtype())
            file.attrs.update(attributes)

    def paths(self, name: str) -> list[str]:
        return [line.split(",")[1] for line in (self.folder / f"{name}.csv").read_text().split()]

    def relabel(self, name: str, texts: list[str], paths: list[str]) -> None:
        """Other labels in the list; the embeddings are without any."""
        (self.folder / f"{name}.csv").write_text("".join(f"{t},{p}\n" for t, p in zip(texts, paths, strict=True)))
        self.write(name, getattr(self, name)[2], None, None)

    def words(self, *others: object) -> list[str]:
        words = []
        for name in ("query", "gallery"):
            words += [f"--{name}_dataset", self.folder / f"{name}.csv"]
            words += [f"--{name}_embeddings", self.folder / f"{name}.h5"]
        return [str(word) for word in (*words, "--filename", self.folder / "out.json", *others)]

    def run(self, *others: object) -> dict:
        assert main(self.words("--excluder", "market1501", *others)) == 0
        return json.loads((self.folder / "out.json").read_text())

    def run_all_against_all(self, *others: object) -> dict:
        words = ["--query_dataset", self.folder / "gallery.csv", "--query_embeddings", self.folder / "gallery.h5"]
        assert main([str(word) for word in (*words, "--filename", self.folder / "out.json", *others)]) == 0
        return json.loads((self.folder / "out.json").read_text())

    def refused(self, capsys: pytest.CaptureFixture, *others: object) -> str:
        """The one line on stderr."""
        capsys.readouterr()
        assert exit_code(lambda: main([str(word) for word in others])) == 2
        text = capsys.readouterr()
        assert text.err.startswith("error: ")
        assert text.err.count("\n") == 1
        return text.err


def write_embeddings(file: Path, emb: np.ndarray, manifest: Manifest, attributes: dict) -> None:
    """Writes embeddings (N, D) of the images of a list, float32, one variant, as embed.py would."""
    emb = np.asarray(emb, np.float32)
    contents = Contents(manifest.paths, manifest.identities, emb.shape[1], ("original",), False, attributes)
    write_blocks(file, contents, [(emb, None)])


def average_precisions(files: EmbeddingFiles, metric: str = "euclidean") -> list[float | None]:
    (ids, cameras, emb), (gallery_ids, gallery_cameras, gallery_emb) = files.query, files.gallery
    distances, aps = cdist(emb.astype(float), gallery_emb.astype(float), metric), []
    for i in range(len(ids)):
        same = gallery_ids == ids[i]
        keep = ~((same & (gallery_cameras == cameras[i])) | (gallery_ids == "-1"))
        aps.append(average_precision_score(same[keep], -distances[i, keep]) if same[keep].any() else None)
    return aps
