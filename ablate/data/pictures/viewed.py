"""Pictures as a viewer shows them: the rules by which a still picture becomes eight bits of red, green and blue.

Orientation   What the file says of it (EXIF) is applied.
Depth         Whole numbers of more than 8 bits are scaled by the smallest of 8, 12, 16 and 32 bits that holds the
              picture's largest: a picture that uses 0 … 255 stays as it is, one that uses 0 … 4095 is divided by 16,
              one that uses more by 256. Fractions lie in 0 … 1, or in 0 … 255.
Profiles      An embedded profile is converted to sRGB. One that is sRGB, or does not fit the picture, changes nothing.
CMYK          By its profile, else as Pillow does it.
Transparency  The picture is laid on a ground of one colour.
"""

import re
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageColor

from ablate.data.pictures.formats import READ

SAME = 3  # levels of 255 by which a profile may differ from sRGB and still be called it: makers round differently
DARK = 15  # of 255: the largest upper byte of 16 bits in a picture that uses 12 of them, or fewer
_LOWER_BYTE = {
    ";16B": ";16L",
    ";16L": ";16B",
    ";16N": ";16B",
}  # Pillow takes the upper byte; of turned bytes, the lower
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # {colour space of a profile: Pillow's mode}
_XMP = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # where a file may speak of its orientation too
# An entry for the orientation, of either byte order, that is not plainly 1; most cameras' pictures have it, upright.
_TURNED = re.compile(
    rb"\x12\x01[\x01-\x09]\x00(?!\x01\x00\x00\x00\x01\x00)|\x01\x12\x00[\x01-\x09](?!\x00\x00\x00\x01\x00\x01)"
)


class NotShown(ValueError):
    """A picture of numbers that no rule covers."""


def open_picture(content: bytes, kind: str) -> Image.Image:
    """A picture of one of the formats that are read, not yet decoded. Raises whatever Pillow does."""
    return Image.open(BytesIO(content), formats=READ[kind])


def as_shown(image: Image.Image, background: str, content: bytes = b"", kind: str = "") -> tuple[Image.Image, bool]:
    """A picture in RGB as a viewer shows it, on a ground of the colour `background`, and whether a rule changed it.

    The ground is a colour's name or #rrggbb. 16 bits of colour that use the lower ones alone are found only with the
    `content` of the file and its `kind`. Raises whatever Pillow does for a damaged picture, and NotShown.
    """
    sixteen = kind not in ("", "JPEG") and any(_turned_bytes(tile[3]) != tile[3] for tile in getattr(image, "tile", ()))
    image.load()
    profile, alpha = image.info.get("icc_profile"), None
    plain = colours = image
    if image.mode.startswith("I") or image.mode == "F":
        colours = _eight_bits(image)
    elif image.has_transparency_data:
        colours = image.convert("RGBA")
        alpha = colours.getchannel("A")
        plain = colours = colours.convert("RGB")
        alpha = None if alpha.getextrema()[0] == 255 else alpha
    if sixteen and colours.mode == "RGB" and np.asarray(colours).max() <= DARK:
        colours = _with_lower_byte(colours, content, kind)
    colours = _in_srgb(colours, profile)
    if alpha is not None:
        ground = Image.new("RGB", colours.size, ImageColor.getrgb(background))
        colours = Image.composite(colours.convert("RGB"), ground, alpha)
    if _may_be_turned(image):
        colours = _upright(colours, image)
    return colours if colours.mode == "RGB" else colours.convert("RGB"), colours is not plain


def _eight_bits(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits, as 8. Raises NotShown for negative numbers, for NaN, and for fractions above 255."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high < 2**32):  # NaN too
        raise NotShown(f"its values lie in {low:g} … {high:g}, which no viewer shows; save it with 8 bits")
    if image.mode == "F":
        if high > 255:
            raise NotShown(f"its values lie in {low:g} … {high:g}, not in 0 … 1 or 0 … 255; save it with 8 bits")
        gray = np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
    else:
        gray = _by_depth(values)
    if getattr(image, "tag_v2", {}).get(262) == 0:  # a TIFF in which zero is white
        gray = 255 - gray
    return Image.fromarray(gray)


def _by_depth(values: NDArray[np.integer]) -> NDArray[np.uint8]:
    bits = int(values.max()).bit_length()
    depth = next(depth for depth in (8, 12, 16, 32) if bits <= depth)
    return (values >> (depth - 8)).astype(np.uint8)


def _with_lower_byte(upper: Image.Image, content: bytes, kind: str) -> Image.Image:
    """Colours of 16 bits of which the upper byte is next to nothing, by the same rule as gray."""
    with open_picture(content, kind) as again:
        again.tile = [tile._replace(args=_turned_bytes(tile.args)) for tile in again.tile]  # type: ignore[attr-defined]
        lower = np.asarray(again)[..., :3]
    return Image.fromarray(_by_depth(np.asarray(upper).astype(np.uint16) << 8 | lower))


def _turned_bytes(args: object) -> object:
    if isinstance(args, tuple):
        return tuple(_turned_bytes(arg) for arg in args)
    if isinstance(args, str) and args[-4:] in _LOWER_BYTE:
        return args[:-4] + _LOWER_BYTE[args[-4:]]
    return args


def _may_be_turned(image: Image.Image) -> bool:
    """Whether it is worth reading what a file says of its orientation, which takes as long as decoding."""
    info = image.info
    return any(key in info for key in _XMP) or ("exif" in info and _TURNED.search(info["exif"]) is not None)


def _upright(colours: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF says nothing, to a viewer either
        return colours
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return colours if turn is None else colours.transpose(turn)


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with its colours in sRGB: itself where its profile changes nothing."""
    if image.mode == "LAB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    if not profile:
        return image
    coloured = image.convert("RGB") if image.mode in ("P", "1", "YCbCr") else image
    transform = _to_srgb(profile, coloured.mode)
    if transform is None and coloured.mode == "RGB":  # gray, which had transparency or a palette
        transform, coloured = _to_srgb(profile, "L"), coloured.convert("L")
    converted = None if transform is None else ImageCms.applyTransform(coloured, transform)
    return converted or image


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion of a profile to sRGB; None where it is that, is another mode's, or cannot be used."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if _MODES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode not in ("L", "RGB"):
            return transform
        probe = _every_colour().convert(mode)
        found = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int)
        apart = np.abs(found - np.asarray(probe.convert("RGB"))).max()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if apart <= SAME else transform


def _every_colour() -> Image.Image:
    """All grays, and a lattice of colours."""
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    grays = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    return Image.fromarray(np.concatenate([grays, colours])[None])
