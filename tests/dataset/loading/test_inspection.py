"""Checks of image files: refused and accepted ones, and orientations."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

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


def test_damage_in_the_middle_needs_the_full_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncation is found even if the process tolerates it."""
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 255
    assert inspect_bytes(tmp_path, bytes(data), "headers") == (1, "")
    assert inspect_bytes(tmp_path, bytes(data), "full")[1].startswith("damaged")
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "truncated" in inspect_bytes(tmp_path, encoded("JPEG")[:700], "full")[1]
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


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
