"""Headers of JPEG and PNG files: what the decoder cannot read, an end that is missing, and metadata.

Only structure is read, never pixels. Each rule refuses only what TensorFlow's decoder refuses too, so no image is
refused that training could use. Pillow's rules differ: it refuses a wrong checksum of a comment, which TensorFlow
ignores, and accepts 12 bits or a missing end, which TensorFlow does not.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = (2**29 - 1) // 3  # TensorFlow's decoder refuses more than 512 MiB of RGB

_JPEG_LONGEST, _PNG_LONGEST = 65_500, 1_000_000  # pixels of a side: limits of libjpeg and libpng
_FRAMES = range(0xC0, 0xD0)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # tables in the same range
_PROCESSES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended, progressive; the last two with arithmetic coding
_SCAN, _EXIF_OR_XMP = 0xDA, 0xE1
_ALONE = {0x00, 0x01, *range(0xD0, 0xD9)}  # markers without a length
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # colour type -> bits
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NOTES = ("Raw profile type exif", "XML:com.adobe.xmp")  # texts of a PNG that can state an orientation

_MOST_PARTS = 100_000  # segments or chunks: beyond, the file is no photograph
_MOST_METADATA = 1 << 20  # bytes of one block; an orientation is near its beginning
_BLOCK = 1 << 20  # bytes read at a time


@dataclass
class Header:
    """What the structure of a file says.

    Attributes:
        problem: why the decoder cannot read the file; "" if no reason is known.
        metadata: blocks that can state an orientation, under Pillow's names (`Image.info`): exif, xmp, and texts.
    """

    problem: str = ""
    metadata: dict[str, bytes | str] = field(default_factory=dict)


def read_header(stream: BinaryIO) -> Header:
    """The header of a JPEG or PNG file, which must begin as one. The stream must be seekable."""
    header = Header()
    stream.seek(0)
    header.problem = _png(stream, header) if stream.read(8) == PNG_START else _jpeg(stream, header)
    return header


def _jpeg(stream: BinaryIO, header: Header) -> str:
    frame, body = None, 0
    for marker, start, length in segments(stream):
        if marker == _EXIF_OR_XMP:
            _keep_segment(stream.read(length), header)
        elif marker in _FRAMES and marker not in _NO_FRAMES:
            frame = frame or (marker, stream.read(min(length, 6)))
        body = start + 2 if marker == _SCAN else 0
    if frame and (problem := _unreadable_frame(*frame)):
        return problem
    if not body:
        return "truncated or damaged: it has no image data"
    return "" if _ends(stream, body) else "truncated or damaged at its end (a JPEG without its end marker)"


def segments(stream: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yields (marker, position of its 0xFF, bytes of content) of a JPEG's segments, up to the first scan.

    The stream is at the content. Bytes between segments are skipped, as decoders do.
    """
    position = 2
    for _ in range(_MOST_PARTS):
        stream.seek(position)
        start = position
        byte = b"\0"
        while byte == b"\0" or (byte and byte[0] in _ALONE):  # 0xFF 0x00 is no marker
            while (byte := stream.read(1)) not in (b"", b"\xff"):
                pass
            while byte == b"\xff":  # a marker may be preceded by any number of 0xFF
                start, byte = stream.tell() - 1, stream.read(1)
        content = stream.read(2)
        length = int.from_bytes(content, "big") - 2
        if not byte or byte == b"\xd9" or len(content) < 2 or length < 0:
            return
        position = stream.tell() + length
        yield byte[0], start, length
        if byte[0] == _SCAN:
            return


def _keep_segment(content: bytes, header: Header) -> None:
    if content.startswith(b"Exif\0\0"):  # long metadata has several segments
        before = header.metadata.get("exif", b"Exif\0\0")
        if isinstance(before, bytes) and len(before) < _MOST_METADATA:
            header.metadata["exif"] = before + content[6:]
    elif content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        header.metadata["xmp"] = content.split(b"\0", 1)[1]


def _unreadable_frame(marker: int, content: bytes) -> str:
    if marker not in _PROCESSES:
        kind = "lossless" if marker in (0xC3, 0xCB) else "hierarchical"
        return f"a {kind} JPEG, which TensorFlow cannot decode; convert it to baseline"
    if len(content) < 6:
        return "truncated or damaged: its header ends early"
    bits, height, width, components = struct.unpack(">BHHB", content)
    if bits != 8:
        return f"a JPEG of {bits} bits per channel, which TensorFlow cannot decode; convert it to 8 bits"
    if components not in (1, 3, 4):
        return f"a JPEG of {components} channels, which TensorFlow cannot decode; convert it to RGB"
    return _bad_size(width, height, _JPEG_LONGEST)


def _ends(stream: BinaryIO, start: int) -> bool:
    """Whether the end marker follows. Bytes after it are harmless and common, so the end is tried first."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(start, size - 16))
    if JPEG_END in stream.read(16):
        return True
    stream.seek(start)
    last = b""
    while block := stream.read(_BLOCK):
        if JPEG_END in last + block:
            return True
        last = block[-1:]
    return False


def _png(stream: BinaryIO, header: Header) -> str:
    size, position, data = stream.seek(0, os.SEEK_END), 8, False
    for number in range(_MOST_PARTS):
        stream.seek(position)
        start = stream.read(8)
        length, name = int.from_bytes(start[:4], "big"), start[4:]
        position += 12 + length
        if number == 0:
            if name != b"IHDR" or length != 13:
                return "damaged: a PNG must begin with a header of 13 bytes"
            if problem := _unreadable_ihdr(stream.read(17)):
                return problem
        elif position > size or len(name) < 4:
            return "truncated or damaged at its end (a PNG without its IEND chunk)"
        elif name == b"IEND":
            return "" if data else "damaged: it has no image data"
        data |= name == b"IDAT"
        if name == b"eXIf":
            header.metadata["exif"] = b"Exif\0\0" + stream.read(min(length, _MOST_METADATA))
        elif name in _TEXTS:
            _keep_text(name, stream.read(min(length, _MOST_METADATA)), header)
    return ""


def _unreadable_ihdr(content: bytes) -> str:
    width, height, bits, colour, compression, method, interlace = struct.unpack(
        ">IIBBBBB", content[:13].ljust(13, b"\0")
    )
    if len(content) < 17 or zlib.crc32(b"IHDR" + content[:13]) != int.from_bytes(content[13:], "big"):
        return "damaged: the checksum of its header is wrong"
    if bits not in _DEPTHS.get(colour, ()) or compression or method or interlace > 1:
        return "damaged: its header has invalid values"
    return _bad_size(width, height, _PNG_LONGEST)


def _keep_text(chunk: bytes, content: bytes, header: Header) -> None:
    key, _, value = content.partition(b"\0")
    name = key.decode("latin-1")
    if name not in _NOTES:
        return
    packed = chunk == b"zTXt"
    if chunk == b"iTXt":
        packed = value[:1] != b"\0"
        value = b"\0" + b"".join(value[2:].split(b"\0", 2)[2:])  # language and translated keyword
    if packed or chunk == b"iTXt":
        value = value[1:]  # the method of compression
    if packed:
        try:
            value = zlib.decompressobj().decompress(value, _MOST_METADATA)
        except zlib.error:
            return
    header.metadata[name] = value.decode("utf-8" if chunk == b"iTXt" else "latin-1", "replace")


def _bad_size(width: int, height: int, longest: int) -> str:
    if not width or not height:
        return f"damaged: its header says {width}x{height} pixels"
    if width * height > MOST_PIXELS or max(width, height) > longest:
        return f"too large to decode: {width}x{height} pixels; shrink it"
    return ""
