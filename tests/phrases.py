"""Refuses the phrases of phrases.txt in prose: Markdown, and the comments and strings of Python code.

    python tests/phrases.py [FILE ...]        (default: all tracked .py and .md files)

Prints one line per find, and exits with 1 if there are any. Code in Markdown is not read.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PHRASES = Path(__file__).with_suffix(".txt")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`|\]\([^)]*\)", re.DOTALL | re.MULTILINE)
_STRINGS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}  # the latter since Python 3.12


def read_phrases(path: Path = PHRASES) -> list[tuple[re.Pattern[str], str]]:
    """Patterns, and what to write instead. A pattern in lower case also matches capitals."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    pairs = [line.split(" -> ") for line in lines]
    return [
        (re.compile(pattern.replace(" ", r"\s+"), re.MULTILINE | (re.IGNORECASE if pattern.islower() else 0)), instead)
        for pattern, instead in pairs
    ]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The stretches of prose in a file, each with the number of its first line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _comments_and_strings(text)
    else:
        yield 1, _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code.group()), text)


def _comments_and_strings(code: str) -> Iterator[tuple[int, str]]:
    first, comment = 0, ""  # a comment of several lines is one stretch
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT and comment and line == first + comment.count("\n") + 1:
            comment += "\n" + token.string.lstrip("# ")
            continue
        if token.type == tokenize.COMMENT:
            if comment:
                yield first, comment
            first, comment = line, token.string.lstrip("# ")
        elif token.type in _STRINGS:
            yield line, token.string
    if comment:
        yield first, comment


def main(files: list[str]) -> int:
    """Prints what it finds in the files, and returns the exit code."""
    if not files:
        command = ["git", "ls-files", "*.py", "*.md", ":!tests/test_phrases.py"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        files = [name for name in listed.stdout.splitlines() if Path(name).exists()]
    phrases, found = read_phrases(), 0
    for file in files:
        for first, text in prose(Path(file)):
            for pattern, instead in phrases:
                for match in pattern.finditer(text):
                    line = first + text.count("\n", 0, match.start())
                    print(f"{file}:{line}: {' '.join(match.group().split())!r} -> {instead}")
                    found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
