"""Random damage to the content of a file: bytes, lines, encodings, and hostile values in fields."""

import random

HOSTILE = [
    *(
        "../../evil",
        "/etc/passwd",
        "..\\..\\x",
        "C:\\x",
        "\0",
        "a\nb",
        "\x1b[2J",
        "\u202e",
        "'",
        '"',
        ",",
        "%s",
        "{}",
        "",
    ),
    *("-1", "NaN", "nan", "1e999", "-Infinity", "9" * 400, "9" * 5000, "1" + "0" * 30, "0x10", "١٢", "true", "null"),
    *("x" * 300, "x" * 200_000, "[" * 5000, '{"a":' * 2000, "<object>" * 500, "é", "\ufeff", "&lol;", "]]>"),
]


def damaged(data: bytes, random: random.Random, binary: bool) -> bytes:
    """The content of a file after one to four changes of random kinds."""
    for _ in range(random.randint(1, 4)):
        kind = random.choice(("byte", "zero", "insert", "delete", "double", "cut", *(() if binary else _OF_TEXT)))
        start = random.randrange(len(data) + 1)
        if binary and random.random() < 0.5 and (used := [i for i in random.sample(range(len(data)), 40) if data[i]]):
            start = used[0]
        stop = min(len(data), start + random.choice((1, 1, 2, 8, 60)))
        if kind == "byte":
            data = data[:start] + random.choice((b"\xff", b"\x7f", bytes([random.randrange(256)]))) + data[start + 1 :]
        elif kind == "zero":
            data = data[:start] + bytes(stop - start) + data[stop:]
        elif kind == "insert":
            data = data[:start] + random.randbytes(random.choice((1, 4, 30))) + data[start:]
        elif kind == "delete":
            data = data[:start] + data[stop:]
        elif kind == "double":
            data = data[:stop] + data[start:stop] * random.choice((1, 1, 100)) + data[stop:]
        elif kind == "cut":
            data = data[: start if random.random() < 0.3 else stop + len(data) // 2]
        else:
            data = _damaged_text(data, random, kind)
        if len(data) < 50:
            break
    return data


_OF_TEXT = ("field", "field", "field", "swap", "line", "bom", "utf-16", "latin-1", "surrogate", "newline")


def _damaged_text(data: bytes, random: random.Random, kind: str) -> bytes:
    lines = data.split(b"\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    if kind == "field":  # a word between separators becomes a hostile value
        separator = random.choice((b",", b" ", b'"', b":", b">", b"\t"))
        words = lines[one].split(separator)
        words[random.randrange(len(words))] = random.choice(HOSTILE).encode()
        lines[one] = separator.join(words)
    elif kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == "line":
        lines.insert(one, lines[other])
    elif kind == "surrogate":
        lines[one] += b"\xed\xa0\x80"
    elif kind == "newline":
        return data.replace(b"\n", random.choice((b"\r\n", b"\r", b"\xe2\x80\xa8", b"\x0b")))
    elif kind == "bom":
        return random.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) + data
    else:
        return data.decode("utf-8", "replace").encode(kind, "replace")
    return b"\n".join(lines)
