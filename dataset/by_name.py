"""Interchangeable parts, chosen by name: one module in a package is one choice.

A new backbone, head, loss or augmentation is one new file; its name in params.json is the file's name.
"""

import importlib
from pathlib import Path
from types import ModuleType

from dataset.errors import UserError

ROOT = Path(__file__).resolve().parent.parent


def choices(package: str) -> list[str]:
    """The names to choose from, found without importing anything (package: "model.heads")."""
    return sorted(f.stem for f in (ROOT / package.replace(".", "/")).glob("*.py") if not f.stem.startswith("_"))


def load(package: str, name: str) -> ModuleType:
    """Imports the module `name` of `package`.

    Raises:
        UserError: when there is none of that name; lists the choices.
    """
    names = choices(package)
    if name not in names:
        raise UserError(f"unknown {package} {name!r}; the choices are {', '.join(names)}")
    return importlib.import_module(f"{package}.{name}")
