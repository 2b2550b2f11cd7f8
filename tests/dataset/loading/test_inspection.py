"""Checks of image files: refused and accepted ones, orientations, and agreement with the decoder."""

import io
import os
import random
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dataset import images
from dataset.loading.inspection import inspect_files
from runtime.errors import UserError

MODES = ("headers", "full")


def encoded(file_format: str, mode: str = "RGB", **options) -> bytes:
    """A noisy image of 40 x 30, in the given file format and Pillow mode."""
    channels, kind = len(Image.new(mode, (1, 1)).getbands()), np.uint16 if mode == "I;16" else np.uint8
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, channels)).astype(kind)
    image = Image.fromarray(pixels.squeeze(), mode if channels > 1 else None)
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def inspect_bytes(tmp_path: Path, data: bytes, mode: str, name: str = "a.jpg") -> tuple[int, str]:
    file = tmp_path / name
    file.write_bytes(data)
    seen = inspect_files([str(file)], mode)
    return int(seen.orientations[0]), seen.problems.get(0, "")


def with_orientation(value: int, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded("JPEG", exif=exif, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty file"),
        (encoded("GIF"), "GIF"),
        (encoded("BMP"), "BMP"),
        (encoded("WEBP"), "WebP"),
        (encoded("TIFF"), "TIFF"),
        (b"\n <!DOCTYPE html><title>404</title>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello", "not a JPEG or PNG; convert it"),
        (b"\xff\xd8\xff", "truncated"),
        (encoded("JPEG")[:-1], "truncated"),
        (encoded("JPEG")[:500], "truncated"),
        (encoded("PNG")[:500], "truncated"),
        (encoded("PNG")[:-12], "truncated"),  # only IEND is lost: Pillow would not mind, TensorFlow does
        (encoded("PNG")[:-1], "truncated"),
        (encoded("JPEG"), ""),
        (encoded("JPEG", "L"), ""),
        (encoded("JPEG", "CMYK"), ""),
        (encoded("JPEG", progressive=True), ""),
        (encoded("JPEG") + b"\0" * 100, ""),  # cameras pad their files
        (encoded("PNG"), ""),
        (encoded("PNG", "RGBA"), ""),
        (encoded("PNG", "L"), ""),
        (encoded("PNG", "I;16"), ""),
        (encoded("PNG") + b"\n" * 100, ""),
        (with_orientation(6).replace(b"Exif\0\0MM", b"Exif\0\0XX").replace(b"Exif\0\0II", b"Exif\0\0XX"), ""),
    ],
)
def test_formats_and_damage(tmp_path: Path, mode: str, data: bytes, problem: str) -> None:
    found = inspect_bytes(tmp_path, data, mode)
    assert problem in found[1]
    assert problem or found == (1, "")


@pytest.mark.parametrize("mode", MODES)
def test_missing_and_folder(tmp_path: Path, mode: str) -> None:
    seen = inspect_files([str(tmp_path / "none.jpg"), str(tmp_path), "a\0b.jpg"], mode)
    assert seen.problems[0] == "no such file"
    assert "folder" in seen.problems[1]
    assert "cannot be read" in seen.problems[2]


def test_damage_in_the_middle_needs_the_full_mode(tmp_path: Path) -> None:
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 255
    assert inspect_bytes(tmp_path, bytes(data), "headers") == (1, "")
    assert "damaged" in inspect_bytes(tmp_path, bytes(data), "full")[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("stated", "expected"), [(v, v) for v in range(1, 9)] + [(0, 1), (9, 1)])
def test_exif_orientation(tmp_path: Path, mode: str, stated: int, expected: int) -> None:
    assert inspect_bytes(tmp_path, with_orientation(stated), mode) == (expected, "")


def test_off_touches_nothing_and_other_modes_are_refused(tmp_path: Path) -> None:
    seen = inspect_files([str(tmp_path / "none.jpg")] * 3, "off")
    assert seen.problems == {}
    assert seen.orientations.tolist() == [1, 1, 1]
    assert seen.orientations.dtype == np.uint8
    with pytest.raises(UserError, match="headers, full, off"):
        inspect_files([], "half")


def test_names_and_order(tmp_path: Path) -> None:
    """Each result is at the position of its file, in whatever order the threads finish; unusual names work."""
    good, turned = encoded("JPEG"), with_orientation(3)
    files, orientations, problems = [], [], {}
    for i in range(700):
        file = tmp_path / f"größe {i} 画像.jpg"
        file.write_bytes(b"" if i % 7 == 0 else turned if i % 3 == 0 else good)
        files.append(str(file))
        orientations.append(3 if i % 7 and i % 3 == 0 else 1)
        if i % 7 == 0:
            problems[i] = "empty file"
    seen = inspect_files(files, "headers")
    assert seen.problems == problems
    assert seen.orientations.tolist() == orientations


@pytest.mark.parametrize("mode", MODES)
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name must be short
    os.mkfifo("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
        problems = inspect_files(["pipe.jpg", "socket.jpg", "/dev/null"], mode).problems
    assert list(problems.values()) == [f"this is a {kind}, not an image" for kind in ("named pipe", "socket", "device")]


def chunk(name: bytes, content: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content) ^ wrong)


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


TIFF = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # an orientation of 6 alone
XMP = b'<rdf:Description tiff:Orientation="6"/>'
RAW_PROFILE = b"Raw profile type exif\0\nexif\n      %d\n%s\n" % (len(TIFF), TIFF.hex().encode())
JPEG, PNG = encoded("JPEG"), encoded("PNG")


@pytest.mark.parametrize(
    "data",
    [
        JPEG[:2] + segment(0xED, bytes(9000)) + segment(0xE1, b"Exif\0\0" + TIFF) + JPEG[2:],
        JPEG[:2] + segment(0xE2, bytes(65000)) * 9 + b"\xff\xff" + segment(0xE1, b"Exif\0\0" + TIFF) + JPEG[2:],
        JPEG[:2] + segment(0xE1, b"Exif\0\0" + TIFF[:14]) + segment(0xE1, b"Exif\0\0" + TIFF[14:]) + JPEG[2:],
        JPEG[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + JPEG[2:],
        PNG[:33] + chunk(b"eXIf", TIFF) + PNG[33:],
        PNG[:-12] + chunk(b"eXIf", TIFF) + PNG[-12:],
        PNG[:33] + chunk(b"tEXt", RAW_PROFILE) + PNG[33:],
        PNG[:33] + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW_PROFILE[22:])) + PNG[33:],
        PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + PNG[33:],
        PNG[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)) + PNG[33:],
    ],
    ids=[
        "far",
        "very far",
        "split",
        "xmp",
        "eXIf",
        "eXIf after pixels",
        "raw",
        "packed raw",
        "png xmp",
        "packed png xmp",
    ],
)
def test_an_orientation_anywhere_is_read_as_pillow_reads_it(tmp_path: Path, data: bytes) -> None:
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
    assert inspect_bytes(tmp_path, data, "headers") == (6, "")


def with_frame(marker: int = 0xC0, bits: int = 8, height: int = 30, width: int = 40, components: int = 3) -> bytes:
    place = JPEG.find(b"\xff\xc0")
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 17, bits, height, width, components)
    return JPEG[:place] + frame + JPEG[place + len(frame) :]


def with_ihdr(width: int = 40, height: int = 30, *rest: int) -> bytes:
    return PNG[:8] + chunk(b"IHDR", struct.pack(">II5B", width, height, *(rest or (8, 2, 0, 0, 0)))) + PNG[33:]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (with_frame(0xC3), "a lossless JPEG"),
        (with_frame(0xC5), "a hierarchical JPEG"),
        (with_frame(bits=12), "12 bits per channel"),
        (with_frame(components=2), "2 channels"),
        (with_frame(height=0), "40x0 pixels"),
        (with_frame(width=20_000, height=10_000), "too large"),
        (with_ihdr(0), "0x30 pixels"),
        (with_ihdr(20_000, 10_000), "too large"),
        (with_ihdr(1_000_001, 1), "too large"),
        (with_ihdr(40, 30, 3, 2, 0, 0, 0), "invalid values"),
        (with_ihdr(40, 30, 8, 2, 0, 0, 2), "invalid values"),
        (PNG[:29] + b"abcd" + PNG[33:], "checksum"),
        (PNG[:33] + PNG[-12:], "no image data"),
        (PNG[:33] + chunk(b"tEXt", b"a\0b", wrong=1) + PNG[33:], ""),  # only Pillow minds
        (JPEG[:-2] + b"\0" * 20_000 + b"\xff\xd9", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_headers_that_tensorflow_cannot_read(tmp_path: Path, data: bytes, problem: str) -> None:
    found = [inspect_bytes(tmp_path, data, mode)[1] for mode in MODES]
    assert problem in found[0]
    assert found[0] == found[1]
    assert can_decode(data) == (not problem)


HALVES = [{}, {"progressive": True}, {"restart_marker_blocks": 2}, {"subsampling": 0}, {"subsampling": 2}]


@pytest.mark.parametrize("options", HALVES, ids=str)
@pytest.mark.parametrize("colour", ["L", "RGB", "CMYK"])
def test_half_a_jpeg_with_an_end_marker_needs_the_full_mode(tmp_path: Path, colour: str, options: dict) -> None:
    data = encoded("JPEG", colour, **options)
    scan, first = data.find(b"\xff\xda"), 4 + int.from_bytes(data[4:6], "big")  # where the first segment ends
    half = data[: (2 * scan + len(data)) // 3] + b"\xff\xd9"
    for cut in (half, half[:first] + b"odd" + half[first:]):
        assert "premature end" in inspect_bytes(tmp_path, cut, "full")[1]
    for odd in (data + b"tail" * 9, data[:first] + b"odd" + data[first:], data[:-2] + b"\0" * 9 + data[-2:]):
        assert inspect_bytes(tmp_path, odd, "full") == (1, "")  # odd bytes, but every pixel is there


def can_decode(data: bytes) -> bool:
    try:
        images.decode(tf.constant(data), 3)
    except tf.errors.OpError:
        return False
    return True


def mutated(data: bytes, chance: random.Random) -> bytes:
    found, place = bytearray(data), chance.randrange(len(data))
    match chance.randrange(5):
        case 0:
            found[place] ^= 1 << chance.randrange(8)
        case 1:
            found[chance.randrange(min(600, len(data)))] = chance.randrange(256)
        case 2:
            del found[place:]
        case 3:
            del found[place : place + chance.randrange(1, 30)]
        case 4:
            found[place:place] = chance.randbytes(chance.randrange(1, 20))
    return bytes(found)


def test_the_checks_agree_with_the_decoder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`full` accepts what TensorFlow decodes without a complaint, and `headers` refuses nothing that `full` accepts."""
    chance, files = random.Random(0), []
    kinds = [("JPEG", mode, options) for mode in ("L", "RGB", "CMYK") for options in HALVES]
    kinds += [("PNG", mode, {}) for mode in ("L", "RGB", "RGBA", "LA", "I;16")]
    for number, (file_format, mode, options) in enumerate(kinds):
        whole = encoded(file_format, mode, **options)
        for version in range(25):
            files.append(tmp_path / f"{number}_{version}")
            files[-1].write_bytes(mutated(whole, chance))
    names = [str(file) for file in files]
    headers, full = (inspect_files(names, mode).problems for mode in MODES)
    capfd.readouterr()
    for index, file in enumerate(files):
        decoded, said = can_decode(file.read_bytes()), capfd.readouterr().err
        if index not in full:
            assert decoded, file
            assert "premature" not in said, file
            assert index not in headers, file
        elif "not a JPEG" not in full[index]:
            assert not decoded or "Corrupt JPEG data" in said, (file, full[index])
    assert 100 < len(full) < 400
