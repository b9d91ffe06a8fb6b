"""What a file is, told by its first bytes, and which formats are read as pictures.

Only these are ever handed to Pillow, each to the one decoder that its bytes name: others that Pillow knows run
programs (EPS), are vectors, or hold films.
"""

from pathlib import Path

# {what people call it: the names of Pillow's decoders}
READ = {
    "JPEG": ("JPEG", "MPO"),
    "PNG": ("PNG",),
    "WebP": ("WEBP",),
    "BMP": ("BMP", "DIB"),
    "TIFF": ("TIFF",),
    "GIF": ("GIF",),
}
IN_WORDS = "JPEG, PNG, WebP, BMP, TIFF or GIF"
# Names that promise one of these: what is something else under such a name is a mistake, not a bystander.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
)  # fmt: skip
# Pictures of cameras' own kinds, which are TIFF inside, but whose picture is not what TIFF's decoder finds there.
RAW = (
    ".3fr", ".arw", ".cr2", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".k25", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "PSD"),
    (b"\0\0\x01\0", "ICO"),
    (b"icns", "ICNS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\x8aMNG", "MNG"),
    (b"\x1aE\xdf\xa3", "Matroska film"),
    (b"version https://git-lfs", "Git LFS pointer"),
    (b"PK\x03\x04", "zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"Rar!", "RAR archive"),
    (b"7z\xbc\xaf", "7-Zip archive"),
    (b"\x7fELF", "program"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x89HDF", "HDF5"),
    (b"CDF", "NetCDF"),
    (b"SIMPLE  =", "FITS"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC"}
_NOT_PICTURES = (
    "zip archive",
    "gzip archive",
    "RAR archive",
    "7-Zip archive",
    "program",
    "NumPy array",
    "Git LFS pointer",
    "web page",
)


def kind_of(head: bytes) -> str | None:
    """What a file is that begins with these bytes; None where they do not say."""
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "AVI film"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "MP4 film")
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3].isspace():
        return "PNM"
    text = head[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "web page"
    if b"<svg" in text and text.startswith((b"<?xml", b"<svg", b"<!--", b"<!doctype svg")):
        return "SVG"
    return None


def is_no_picture(kind: str | None) -> bool:
    """Whether a file is nothing that anyone would look at as a picture."""
    return kind is None or kind in _NOT_PICTURES


def is_raw(path: Path) -> bool:
    """Whether a file's name says that it is a camera's own kind of picture."""
    return path.suffix.lower() in RAW


def promises_a_picture(path: Path) -> bool:
    """Whether a file's name says that it is one of the pictures that are read."""
    return path.suffix.lower() in SUFFIXES


def in_words(path: Path, kind: str | None) -> str:
    """What a file is that is left out: by its content, else by its name."""
    if is_raw(path):
        return f"camera raw ({path.suffix.lower()})"
    if kind is not None:
        return kind
    return f"not a picture ({path.suffix.lower()})" if path.suffix else "not a picture (no extension)"
