#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the pictures of this folder and pictures.txt: name, height, width, FNV-1a of the pixels as RGB, and as grey, which Pillow decodes.
PNG and TIFF forms that Pillow does not write are written here.   python3 make.py   (needs python3-pil and python3-numpy)"""
import io, os, struct, zlib
import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)
y, x = np.mgrid[0:13, 0:21]
rgb = np.stack([(127 + 110 * np.sin(x / (3 + k) + k + y / (5 - k))) for k in range(3)], -1)
rgb = (rgb + rng.integers(-15, 15, rgb.shape)).clip(0, 255).astype(np.uint8)
colour, grey = Image.fromarray(rgb), Image.fromarray(rgb[:, :, 0])
rows = []

def fnv(a):
    h = 0xcbf29ce484222325
    for b in a.tobytes():
        h = ((h ^ b) * 0x100000001b3) & (1 << 64) - 1
    return h

def put(name, data, want=None):
    open(os.path.join(here, name), "wb").write(data)
    if want is None:
        img = Image.open(io.BytesIO(data))
        want = np.array(img.convert("RGB"))
    l = np.array(Image.fromarray(want).convert("L"))
    rows.append(f"{name} {want.shape[0]} {want.shape[1]} {fnv(want):016x} {fnv(l):016x}")

def save(name, img, fmt, **k):
    b = io.BytesIO()
    img.save(b, fmt, **k)
    put(name, b.getvalue())

def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

def png(name, samples, depth, kind, interlaced, want, extra=b""):
    """samples: [h, w, channels] of `depth` bits; every filter in turn, the file's rows computed here."""
    h, w, c = samples.shape
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    raw, back, turn = b"", max(1, depth * c // 8), 0
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        before = None
        for row in part if part.shape[1] else []:
            bits = "".join(format(int(v), f"0{depth}b") for v in row.reshape(-1))
            bits += "0" * (-len(bits) % 8)
            line = [int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)]
            up = before or [0] * len(line)
            out = []
            for i, v in enumerate(line):
                a, b, cc = (line[i - back] if i >= back else 0), up[i], (up[i - back] if i >= back else 0)
                p = a + b - cc
                paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - cc), 2, cc))[2]
                out.append((v - [0, a, b, (a + b) // 2, paeth][turn % 5]) & 255)
            raw += bytes([turn % 5] + out)
            before, turn = line, turn + 1
    data = zlib.compress(raw, 9)
    half = len(data) // 2  # two IDAT chunks
    put(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, int(interlaced))) + extra +
        chunk(b"IDAT", data[:half]) + chunk(b"tEXt", b"x")[:0] + chunk(b"IDAT", data[half:]) + chunk(b"IEND", b""), want)

three = lambda a: np.repeat(a[:, :, None], 3, 2).astype(np.uint8)
for interlaced in (False, True):
    i = "_adam7" if interlaced else ""
    png(f"rgb8{i}.png", rgb, 8, 2, interlaced, rgb)
    png(f"rgba16{i}.png", np.concatenate([rgb.astype(int) * 257, rgb[:, :, :1]], -1), 16, 6, interlaced, rgb)
    for depth in (1, 2, 4, 8, 16):
        g = (rgb[:, :, :1].astype(int) << 8 | 0x5a) >> (16 - depth)
        png(f"grey{depth}{i}.png", g, depth, 0, interlaced, three(g[:, :, 0] >> 8 if depth == 16 else g[:, :, 0] * 255 // ((1 << depth) - 1)))
    palette = rng.integers(0, 256, (16, 3)).astype(np.uint8)
    index = (rgb[:, :, :1] >> 4).astype(int)
    png(f"palette4{i}.png", index, 4, 3, interlaced, palette[index[:, :, 0]], chunk(b"PLTE", palette.tobytes()))
save("stored.png", colour, "PNG", compress_level=0)
for name, ss in (("444", 0), ("422", 1), ("420", 2)):
    save(f"{name}.jpg", colour, "JPEG", quality=80, subsampling=ss)
save("grey.jpg", grey, "JPEG", quality=90)
save("restart.jpg", colour, "JPEG", quality=70, restart_marker_blocks=1, optimize=True)
save("cmyk.jpg", colour.convert("CMYK"), "JPEG", quality=90)
save("thin.jpg", colour.crop((0, 0, 2, 9)), "JPEG", quality=90, subsampling=2)
save("rgb.bmp", colour, "BMP")
save("palette.bmp", colour.quantize(16), "BMP")
save("bilevel.bmp", colour.convert("1"), "BMP")
def bmp_runs():
    w, h = 6, 3
    palette = bytes(v for k in range(4) for v in (10 * k, 60 + 20 * k, 250 - 30 * k, 0))
    data = bytes([6, 1, 0, 0, 0, 3, 2, 3, 1, 0, 3, 2, 0, 0, 2, 0, 0, 2, 2, 0, 4, 3, 0, 1])
    head = struct.pack("<IiiHHIIiiII", 40, w, h, 1, 8, 1, len(data), 0, 0, 4, 0)
    index = np.array([[0, 0, 3, 3, 3, 3], [2, 3, 1, 2, 2, 2], [1, 1, 1, 1, 1, 1]])
    index[0] = [3, 3, 3, 3, 0, 0]
    pal = np.array([[250 - 30 * k, 60 + 20 * k, 10 * k] for k in range(4)], np.uint8)
    data = bytes([6, 1, 0, 0, 0, 3, 2, 3, 1, 0, 3, 2, 0, 0, 4, 3, 0, 1])
    put("runs.bmp", b"BM" + struct.pack("<IHHI", 54 + 16 + len(data), 0, 0, 54 + 16) + head + palette + data, pal[index])
bmp_runs()
for mode, name in (("RGB", "rgb"), ("L", "grey"), ("1", "bilevel"), ("P", "palette")):
    save(f"{name}.tif", colour.convert(mode), "TIFF")
save("packed.tif", colour.convert("RGB"), "TIFF", compression="packbits")
def tiff_big():
    w, h = 5, 4
    px = rgb[:h, :w]
    tags = [(256, 3, 1, w << 16), (257, 3, 1, h << 16), (258, 3, 3, 200), (259, 3, 1, 1 << 16), (262, 3, 1, 2 << 16), (273, 4, 6, 210),
            (277, 3, 1, 3 << 16), (278, 3, 1, 2 << 16), (284, 3, 1, 2 << 16)]
    body = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", len(tags)) + b"".join(struct.pack(">HHII", *t) for t in tags) + b"\0\0\0\0"
    body += b"\0" * (200 - len(body)) + struct.pack(">HHH", 8, 8, 8) + b"\0" * 4
    strips, at, data = [], 234, b""
    for k in range(3):
        for r in (0, 2):
            s = px[r:r + 2, :, k].tobytes()
            strips.append(at + len(data))
            data += s
    put("planes.tif", body + struct.pack(">6I", *strips) + data, px)
tiff_big()
for mode, name in (("RGB", "rgb.ppm"), ("L", "grey.pgm"), ("1", "bilevel.pbm")):
    save(name, colour.convert(mode), "PPM")
put("plain.ppm", b"P3 # a comment\n2 1\n7\n0 7 3  7 0 1\n", np.array([[[0, 255, 109], [255, 0, 36]]], np.uint8))
put("plain.pbm", b"P1\n3 2\n101\n010\n", three(np.array([[0, 255, 0], [255, 0, 255]])))
open(os.path.join(here, "pictures.txt"), "w").write("\n".join(rows) + "\n")
