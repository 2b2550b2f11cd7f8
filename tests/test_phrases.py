"""The list of banned phrases: where they are found, and where not."""

import phrases
import pytest


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.md", "One word\nbeside another.\n", [2]),
        ("a.md", "It works, so\nthat all is well.\n", [1]),
        ("a.md", "`beside` and [a link](beside.md)\n\n```\nbeside\n```\n", []),
        ("a.md", "Of all images, one.\n", [1]),
        ("a.md", "A list of all images.\n", []),
        ("a.py", '"""So that\nit is found."""\n', [1]),
        ("a.py", "x = 1\n# a comment, so\n# that it is found\n\n# and beside it\n", [2, 5]),
        ("a.py", "beside = figures  # fine\n", []),
        ("a.py", "print(f'{x} goes on')\n", [1]),
    ],
)
def test_where_a_phrase_is_found(tmp_path, capsys, name, text, lines):
    file = tmp_path / name
    file.write_text(text)
    assert phrases.main([str(file)]) == (1 if lines else 0)
    assert [int(line.split(":")[1]) for line in capsys.readouterr().out.splitlines()] == lines
