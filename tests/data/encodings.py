"""One picture in many encodings, as cameras, scanners, browsers and drawing programs write them."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

SIDE = 48
ADOBE = ((0.6400, 0.3300), (0.2100, 0.7100), (0.1500, 0.0600))
P3 = ((0.6800, 0.3200), (0.2650, 0.6900), (0.1500, 0.0600))


def picture() -> Image.Image:
    """Upright and not symmetric: bright above, dark below, red on the left, blue on the right."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    pixels = np.stack([1 - columns * 0.8, 1 - rows, columns * (1 - rows * 0.7)], axis=-1)
    return Image.fromarray(np.rint(255 * pixels).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's file."""
    content = BytesIO()
    image.save(content, kind, **options)  # type: ignore[arg-type]
    return content.getvalue()


def turned(orientation: int) -> bytes:
    """EXIF that says how a picture is stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def png(values: np.ndarray, bits: int = 16) -> bytes:
    """(H, W, channels) of 16 bits as a PNG, which Pillow writes for gray alone."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip


def profile(primaries: tuple[tuple[float, float], ...] | None, gamma: float) -> bytes:
    """An ICC profile of colours by their primaries (x, y) and one gamma; of gray without primaries."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white = np.array([0.9642, 1.0, 0.8249])  # D50
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = [(b"wtpt", b"XYZ \0\0\0\0" + fixed(*white))]
    if primaries is None:
        tags.append((b"kTRC", curve))
    else:
        d65 = np.array([0.95047, 1.0, 1.08883])
        columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
        columns = columns * np.linalg.solve(columns, d65)
        bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
        adapt = np.linalg.inv(bradford) @ np.diag(bradford @ white / (bradford @ d65)) @ bradford
        columns = adapt @ columns
        for number, (xyz, trc) in enumerate(((b"rXYZ", b"rTRC"), (b"gXYZ", b"gTRC"), (b"bXYZ", b"bTRC"))):
            tags += [(xyz, b"XYZ \0\0\0\0" + fixed(*columns[:, number])), (trc, curve)]
    tags.append((b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79))
    place, table, content = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags:
        table += name + struct.pack(">II", place + len(content), len(value))
        content += value + b"\0" * (-len(value) % 4)
    header = struct.pack(">I4sI4s4s4s", place + len(content), b"test", 0x02400000, b"mntr",
                         b"GRAY" if primaries is None else b"RGB ", b"XYZ ")  # fmt: skip
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + fixed(*white) + b"\0" * 48
    return header[:128] + struct.pack(">I", len(tags)) + table + content


def encodings() -> Iterator[tuple[str, str, bytes]]:
    """(what it is, a file's ending, the file)."""
    plain = picture()
    gray = plain.convert("L")
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1)))
    see_through = plain.copy()
    see_through.putalpha(alpha)
    deep = np.asarray(plain).astype(np.uint16) * 257
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "JPEG", "jpg", saved(plain, "JPEG", quality=95)
    for orientation in range(2, 9):
        yield (
            f"JPEG, EXIF orientation {orientation}",
            "jpg",
            saved(plain, "JPEG", quality=95, subsampling=0, exif=turned(orientation)),
        )
    yield "PNG, eXIf orientation 6", "png", saved(plain, "PNG", exif=turned(6))
    yield "WebP, EXIF orientation 8", "webp", saved(plain, "WEBP", lossless=True, exif=turned(8))
    yield "PNG with alpha", "png", saved(see_through, "PNG")
    yield "PNG, gray with alpha", "png", saved(Image.merge("LA", (gray, alpha)), "PNG")
    yield "PNG, palette with transparency", "png", saved(plain.quantize(16), "PNG", transparency=3)
    yield "PNG, one colour transparent", "png", saved(plain, "PNG", transparency=tuple(plain.getpixel((9, 9)) or ()))
    yield "WebP with alpha", "webp", saved(see_through, "WEBP", lossless=True)
    yield "GIF with transparency", "gif", saved(plain.quantize(16), "GIF", transparency=5)
    yield "PNG, 16 bits of gray", "png", saved(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "PNG")
    yield "PNG, 16 bits of colour", "png", png(deep)
    yield "PNG, 16 bits of colour and alpha", "png", png(np.dstack([deep, np.asarray(alpha).astype(np.uint16) * 257]))
    yield "PNG, 1 bit", "png", saved(plain.convert("1"), "PNG")
    yield "PNG, palette of 4", "png", saved(plain.quantize(4), "PNG", bits=2)
    yield "JPEG, gray", "jpg", saved(gray, "JPEG", quality=95)
    yield "JPEG, CMYK", "jpg", saved(plain.convert("CMYK"), "JPEG", quality=95)
    yield "PNG, sRGB profile", "png", saved(plain, "PNG", icc_profile=srgb)
    yield (
        "JPEG, Adobe RGB profile",
        "jpg",
        saved(plain, "JPEG", quality=95, subsampling=0, icc_profile=profile(ADOBE, 2.2)),
    )
    yield "PNG, Display P3 profile", "png", saved(plain, "PNG", icc_profile=profile(P3, 2.2))
    yield "PNG with alpha, Adobe RGB profile", "png", saved(see_through, "PNG", icc_profile=profile(ADOBE, 2.2))
    yield "JPEG, gray profile of gamma 1.8", "jpg", saved(gray, "JPEG", quality=95, icc_profile=profile(None, 1.8))
    yield "BMP", "bmp", saved(plain, "BMP")
