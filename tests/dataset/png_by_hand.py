"""A PNG decoder and encoder by the specification, without Pillow, for tests alone."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True)
class Png:
    depth: int
    color_type: int
    palette: bytes
    pixels: NDArray[np.integer]  # [H, W, channels]


def decode(data: bytes) -> Png:
    """Decode a PNG of 8 or 16 bits, not interlaced."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length :][:4])[0]
        chunks[kind] = chunks.get(kind, b"") + body
        at += 12 + length
    width, height, depth, color_type, _, _, interlace = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert interlace == 0
    step = CHANNELS[color_type] * depth // 8
    rows = _unfilter(
        zlib.decompress(chunks[b"IDAT"]), height=height, stride=width * step, step=step
    )
    pixels = np.frombuffer(rows, dtype=">u2" if depth == 16 else np.uint8)
    return Png(
        depth, color_type, chunks.get(b"PLTE", b""), pixels.reshape(height, width, -1).astype(int)
    )


def _unfilter(raw: bytes, *, height: int, stride: int, step: int) -> bytes:
    out = bytearray()
    above = bytearray(stride)
    for row in range(height):
        start = row * (stride + 1)
        kind, line = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for i in range(stride):
            a = line[i - step] if i >= step else 0
            b = above[i]
            c = above[i - step] if i >= step else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            line[i] = (line[i] + (0, a, b, (a + b) // 2, nearest)[kind]) & 255
        out += line
        above = line
    return bytes(out)


def encode(
    rows: list[bytes], *, width: int, depth: int, color_type: int, extra: bytes = b""
) -> bytes:
    """Encode packed rows as a PNG without filters; `extra` are whole chunks before the data."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
