"""Queries against a gallery: `query.csv` and `gallery.csv`."""

from pathlib import Path

from model.evaluation.kinds._retrieval import MAIN, PICTURES, load, tables
from runtime.errors import UserError

__all__ = ["MAIN", "PICTURES", "find", "load", "tables"]


def find(folder: Path) -> dict[str, tuple[Path, ...]]:
    query, gallery = folder / "query.csv", folder / "gallery.csv"
    if query.exists() != gallery.exists():
        have, lack = (query, gallery) if query.exists() else (gallery, query)
        raise UserError(f"{folder}: there is a {have.name} but no {lack.name}; add it, retrieval needs both")
    return {"query_gallery": (query, gallery)} if query.exists() else {}
