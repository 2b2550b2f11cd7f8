"""The commands and the Python code that pages show, in the order in which a reader meets them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from helpers.commands import ROOT

PAGES = sorted(
    page
    for folders in (".", "docs", "docker", "experiments", "experiments/*")
    for page in ROOT.glob(f"{folders}/*.md")
    if page.name != "CHANGELOG.md"
)
SHELL = ("", "sh", "bash", "shell", "console")
FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:python3?|make|tensorboard|pip|docker|git) [^`\n]+)`")
# What a page abbreviates, in full.
ELLIPSES = {"embed.py ...": "embed.py --model_dir RUN --dataset data/market1501/gallery.csv"}


class Block(NamedTuple):
    """Lines that belong together.

    Attributes:
        line: the number of the first one in the page.
        language: what the fence names; "inline" for a command in a sentence or a table.
        text: the lines.
    """

    line: int
    language: str
    text: str


def name_of(page: Path) -> str:
    """The page, as a test's id."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """Every fenced block of a page, and every command in its text."""
    text = page.read_text(encoding="utf-8")
    fences = [(match.start(), match[2].strip(), match[3]) for match in FENCE.finditer(text)]
    rest = FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    inline = [(match.start(), "inline", match[1]) for match in INLINE.finditer(rest)]
    return [Block(text.count("\n", 0, start) + 1, *block) for start, *block in sorted(fences + inline)]


def python_blocks(page: Path) -> list[Block]:
    """The blocks of Python code."""
    return [block for block in blocks_of(page) if block.language in ("python", "py")]


def shell_blocks(page: Path) -> list[Block]:
    """The blocks of commands: what a page shows without a language and begins like a command, and all that says so."""
    blocks = [block for block in blocks_of(page) if block.language in (*SHELL, "inline")]
    blocks = [block._replace(text=without_output(block.text)) for block in blocks]
    return [block for block in blocks if block.language or begins_like_a_command(block.text)]


def without_output(text: str) -> str:
    """The commands alone: where they stand behind "$ ", the other lines are what they print."""
    for short, full in ELLIPSES.items():
        text = text.replace(short, full)
    typed = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    return "\n".join(typed) if typed else text


def begins_like_a_command(text: str) -> bool:
    """Whether a block is commands, not a table, a file or what a command printed.

    A command begins with a small word or a path, and something that looks like an argument of one follows.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    first = lines[0].split() if lines else []
    if not first or not re.fullmatch(r"[A-Za-z_]+=\S*|[a-z./][\w./-]*", first[0]):
        return False
    known = first[0] in ("python", "python3", "make", "docker", "tensorboard", "pip", "git", "export", "mkdir", "cd")
    return known or any(re.match(r"--?[a-z]", word) for word in first[1:]) or "install" in first[1:2]


def command_lines(text: str) -> list[str]:
    """Whole lines of a shell: continued ones joined, a quoted text over several lines kept together."""
    lines: list[str] = []
    waiting = ""
    for line in text.replace("\\\n", " ").splitlines():
        waiting += line
        try:
            words = shlex.split(waiting, comments=True)
        except ValueError:  # a quotation continues
            waiting += "\n"
            continue
        if words:
            lines.append(waiting.strip())
        waiting = ""
    assert not waiting, f"a quotation does not end: {waiting}"
    return lines


def simple_commands(text: str) -> list[list[str]]:
    """The words of every command: `a && b | c > file` is three, the last one without where it writes to."""
    commands: list[list[str]] = []
    for line in command_lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        words: list[str] = []
        redirected = False
        for word in lexer:
            if word.strip(";&|<>") == "":
                redirected = word[0] in "<>"
                if not redirected:
                    commands.append(words)
                    words = []
            elif redirected:
                redirected = False
            else:
                words.append(word)
        commands.append(words)
    return [without_variables(words) for words in commands if without_variables(words)]


def without_variables(words: list[str]) -> list[str]:
    """A command without the values of variables before it."""
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words = words[1:]
    return words
