"""JSON files and JSON lines, written whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any

from runtime.errors import UserError
from runtime.files import replace_file


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON."""
    with replace_file(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file; a missing or malformed one, or one that gives a key twice, is a `UserError`."""
    path = Path(path)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise UserError(f"{path}: {twice[0]!r} is given twice; keep one of them")
        return dict(pairs)

    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:  # also for what is no UTF-8, and for thousands of brackets
        raise UserError(f"{path}: malformed JSON: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; a last line cut short by a killed writer is left out.

    Raises:
        UserError: for another line that is no JSON.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    complete = lines[:-1]  # what follows the last newline is empty or half a line
    try:
        return [json.loads(line) for line in complete if line.strip()]
    except ValueError as error:
        raise UserError(f"{path}: a damaged line: {error}; mend or remove it") from error


def drop_json_lines_after(path: Path, step: int) -> int:
    """Removes the lines of later steps than `step`, which are going to be repeated; gives their number."""
    lines = read_json_lines(path)
    kept = [line for line in lines if line["step"] <= step]
    if len(kept) < len(lines):
        with replace_file(path) as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
    return len(lines) - len(kept)


def append_json_line(path: Path, value: Any) -> None:
    """Appends one object as one line and waits until it is on disk; half a line left by a killed writer is cut off."""
    line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    with open(path, "a+b") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
