"""Text that leaves the process is one safe line on any terminal."""

import io
import subprocess
import sys

import pytest

from runtime.errors import UserError, exit_code
from runtime.log import Log
from runtime.printable import LONGEST, look_alike_note, look_alikes, printable, shorten
from runtime.progress import Progress
from runtime.tables import align

# Clears a terminal, forges a line, hides, reorders, ends a line in a script; a byte that is no UTF-8; half a pair.
HOSTILE = "a\x1b[2J\nerror: b\r\t\x7f\x9b\u200b\u202e\u2028\udcff\ud800\x00 č 数"


def fine(line: str) -> bool:
    line.encode()  # raises for surrogates
    return line.isprintable()


def test_a_name_is_shown_as_it_is_or_with_escapes():
    assert printable("č 数 $_\\") == "č 数 $_\\"
    assert printable(HOSTILE) == (
        r"a\x1b[2J\nerror: b\r\t\x7f\x9b\u200b\u202e\u2028" + "��" + r"\x00 č 数"
    )  # � for each surrogate


def test_every_way_out_is_safe(tmp_path, capsys):
    log = Log(tmp_path / "log")
    log.line(f"run: {HOSTILE}")
    Progress(HOSTILE, 1, HOSTILE)(1)
    print(align([["x", HOSTILE]]))

    def fail() -> None:
        raise UserError(HOSTILE)

    def fail_with_a_file() -> None:
        raise FileNotFoundError(2, "No such file", HOSTILE)

    assert [exit_code(fail), exit_code(fail_with_a_file)] == [2, 2]
    told = capsys.readouterr()
    lines = [*told.out.splitlines(), *told.err.splitlines(), *(tmp_path / "log").read_text("utf-8").splitlines()]
    assert len(lines) == 6
    assert all(map(fine, lines))


def test_an_error_is_never_longer_than_a_screen(capsys):
    def fail() -> None:
        raise UserError(f"{'x' * 10_000}: no such folder; name another")

    assert exit_code(fail) == 2
    line = capsys.readouterr().err.removesuffix("\n")
    assert len(line) == LONGEST
    assert line.startswith("error: xx")
    assert line.endswith("x: no such folder; name another")
    assert shorten("abcdefgh", 5) == "ab…gh"


def test_a_terminal_of_another_encoding_is_no_error(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    assert exit_code(lambda: print("č 数 é")) == 0
    stream.flush()
    assert b"\\u010d \\u6570 \xe9" in stream.buffer.getvalue()


@pytest.mark.parametrize("closed", ["1", "2", "1 2"])
def test_a_closed_stream_is_no_error(tmp_path, closed):
    code = (
        "import sys; from runtime.errors import exit_code, UserError; from runtime.log import Log\n"
        "def main():\n    Log().line('a'); open(sys.argv[1], 'w').write('b'); print('c'); raise UserError('d')\n"
        "sys.exit(exit_code(main))"
    )
    words = " ".join(f"{stream}>&-" for stream in closed.split())
    command = ["sh", "-c", f'"$0" -c "$1" "$2" {words}', sys.executable, code, str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    assert (tmp_path / "out").read_text() == "b"


def test_names_that_look_the_same():
    names = ["a", "a ", "b", "\u00e9", "e\u0301", "A", "a\u200b", "b", "c d", "c\u00a0d", "cd"]
    assert look_alikes(names) == [["a", "a ", "a\u200b"], ["\u00e9", "e\u0301"], ["c d", "c\u00a0d"]]
    note = look_alike_note(names)
    assert note == r"identities that look the same but are different: 'a', 'a ', 'a\u200b' and 2 more groups"
    assert look_alike_note(["a", "b"]) == ""
