"""Commands of dataset.prepare, called in this process, and the files that they write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset.formats.prepared import open_prepared
from dataset.prepare.imagenetvid import main as prepare_imagenetvid
from model.evaluation.sets import find_evaluation_sets
from runtime.json_files import read_json


class Preparation:
    """One command with its usual arguments. The last value of a repeated option counts.

    Attributes:
        root: the raw tree, which a test may damage.
        out: the folder to write.
    """

    def __init__(
        self,
        main: Callable[[list[str]], int],
        capsys: pytest.CaptureFixture[str],
        root: Path,
        out: Path,
        *words: object,
        option: str = "--root",
    ) -> None:
        self._main, self._capsys, self.root, self.out = main, capsys, root, out
        self._words = (option, root, "--out", out, *words)

    def __call__(self, *words: object) -> str:
        """The output of the command, which must succeed."""
        code, said, error = self._run(words)
        assert code == 0, error
        return said

    def refused(self, *words: object) -> str:
        """The error of the command, which must be one line."""
        code, _, error = self._run(words)
        assert code == 2
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error

    def _run(self, words: tuple[object, ...]) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = self._main([str(word) for word in (*self._words, *words)])
        return code, *self._capsys.readouterr()

    def tables(self, images: bool = False) -> dict[str, list[tuple[str, ...]]]:
        """The rows of every list. Checks its form, and that the `images` exist."""
        tables, root = read_tables(self.out), self.out / self.info()["image_root"]
        assert not images or all((root / row[1]).is_file() for rows in tables.values() for row in rows)
        return tables

    def sizes(self) -> dict[str, int]:
        """The number of rows of every list."""
        return {name: len(rows) for name, rows in self.tables().items()}

    def identities(self) -> dict[str, set[str]]:
        """The identities of every list."""
        return {name: {row[0] for row in rows} for name, rows in self.tables().items()}

    def evaluation_sets(self) -> dict[str, str]:
        """Name and kind of each evaluation set, as found by the evaluation."""
        return {each.name: each.kind for each in find_evaluation_sets(open_prepared(str(self.out)).folder)}

    def info(self) -> dict[str, Any]:
        """dataset.json"""
        return read_json(self.out / "dataset.json")

    def files(self) -> dict[Path, bytes]:
        """Every file that was written."""
        return {file: file.read_bytes() for file in self.out.rglob("*") if file.is_file()}


def imagenetvid(command: str, out: Path, *words: object) -> None:
    """`python -m dataset.prepare.imagenetvid` with one worker. Errors are raised."""
    prepare_imagenetvid([command, "--out", str(out), *map(str, words), "--workers", "1"])


def crop(root: Path, out: Path, *words: object) -> None:
    """Cuts the crops of a tree made by `helpers.vid_tree`."""
    imagenetvid("crop", out, "--root", root, *words)


def curate(out: Path, *words: object) -> None:
    """Makes its lists and episodes."""
    imagenetvid("curate", out, *words)


def read_tables(out: Path) -> dict[str, list[tuple[str, ...]]]:
    """The rows of every list of a prepared data set. Checks the header, and that no path occurs twice."""
    tables = {}
    for file in sorted(out.glob("*.csv")):
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        assert header in ("identity,path", "identity,path,camera", "identity,path,camera,sequence")
        tables[file.name] = [tuple(line.split(",")) for line in lines]
        assert {len(row) for row in tables[file.name]} == {header.count(",") + 1}
        assert len({row[1] for row in tables[file.name]}) == len(lines)
    return tables


def linked_identities(rows: list[tuple[str, ...]]) -> set[str]:
    """Sequences that several identities share; the sampler treats such identities as objects of one video."""
    owners: dict[str, set[str]] = {}
    for identity, _, _, sequence in rows:
        owners.setdefault(sequence, set()).add(identity)
    return {sequence for sequence, identities in owners.items() if len(identities) > 1}
