"""Versions of installed packages."""

from collections.abc import Iterable
from importlib import metadata


def find_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of the installed ones among `packages`, by name, in the same order."""
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
