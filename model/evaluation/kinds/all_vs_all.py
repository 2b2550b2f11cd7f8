"""Each image of a list against all others: `test.csv`."""

from pathlib import Path

from model.evaluation.kinds._retrieval import MAIN, PICTURES, load, tables

__all__ = ["MAIN", "PICTURES", "find", "load", "tables"]


def find(folder: Path) -> dict[str, tuple[Path, ...]]:
    return {"test": (folder / "test.csv",)} if (folder / "test.csv").exists() else {}
