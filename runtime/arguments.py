"""Command lines whose mistakes are answered in one line, and numbers on them."""

import argparse
import contextlib
import math
from collections.abc import Callable
from typing import NoReturn

from runtime.errors import UserError


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, as everywhere else; --help has the rest."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf, *, ends: bool = True
) -> Callable[[str], float]:
    """An argparse `type`: a finite number from `low` to `high`, with these ends or between them."""

    def convert(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if math.isfinite(value) and (low <= value <= high if ends else low < value < high):
                return value
        what = "a whole number" if kind is int else "a number"
        bounds = (
            f"between {low} and {high}" if high < math.inf else f"{'of at least' if ends else 'greater than'} {low}"
        )
        raise argparse.ArgumentTypeError(f"{text}: it must be {what} {bounds}")

    return convert


def numbers(form: str, *kinds: Callable[[str], float]) -> Callable[[str], tuple[float, ...]]:
    """An argparse `type`: as many numbers as there are kinds, with commas between; `form` is what the error shows."""

    def convert(text: str) -> tuple[float, ...]:
        parts = text.split(",")
        if len(parts) != len(kinds):
            raise argparse.ArgumentTypeError(f"{text}: it must be {form}")
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))

    return convert
