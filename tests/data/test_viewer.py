"""What a network sees of a picture is what a browser shows of it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data.pictures.decode import Decoding, decode, look_at
from tests.data.encodings import SIDE, encodings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROUNDING = 2  # levels of 255
# Chromium does not look for EXIF in WebP, as it does in JPEG and PNG; the rule here is one for all formats.
OF_CHROMIUM = {"WebP, EXIF orientation 8"}


def browsed(names: list[str], folder: Path) -> dict[str, np.ndarray]:
    """What a browser shows of files: {name: (SIDE, SIDE, 3)}."""
    places = "".join(
        f'<img src="{name}" style="position:absolute;left:{n * SIDE}px;top:0">' for n, name in enumerate(names)
    )
    (folder / "page.html").write_text(f'<body style="margin:0;background:white">{places}')
    subprocess.run(
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
         "--hide-scrollbars", "--force-device-scale-factor=1", "--force-color-profile=srgb",
         f"--screenshot={folder / 'shot.png'}", f"--window-size={len(names) * SIDE},{SIDE + 200}",
         (folder / "page.html").as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    shot = np.asarray(Image.open(folder / "shot.png").convert("RGB"))
    return {name: shot[:SIDE, n * SIDE : (n + 1) * SIDE] for n, name in enumerate(names)}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_network_sees_what_a_browser_shows(tmp_path: Path) -> None:
    files = {}
    for number, (what, ending, content) in enumerate(encodings()):
        name = f"{number}.{ending}"
        (tmp_path / name).write_bytes(content)
        files[name] = what
    shown = browsed(list(files), tmp_path)
    apart = {}
    for name, what in files.items():
        seen = decode(tmp_path / name, Decoding(SIDE)).astype(int)
        apart[what] = int(np.abs(seen - shown[name]).max())
    print(*(f"{difference:4}  {what}" for what, difference in apart.items()), sep="\n")
    assert len(apart) >= 20
    assert {what for what, difference in apart.items() if difference > ROUNDING} == OF_CHROMIUM


@pytest.mark.parametrize(("what", "ending", "content"), list(encodings()), ids=lambda value: str(value)[:40])
def test_pictures_that_need_no_rule_are_read_as_ever(what: str, ending: str, content: bytes, tmp_path: Path) -> None:
    """Their data sets keep their fingerprints; all others get new ones."""
    (tmp_path / f"a.{ending}").write_bytes(content)
    look = look_at(tmp_path / f"a.{ending}", Decoding(16), np.zeros((16, 16, 3), np.uint8))
    assert look.used
    plain = ("JPEG", "PNG, 1 bit", "PNG, palette of 4", "JPEG, gray", "JPEG, CMYK", "PNG, sRGB profile",
             "PNG, 16 bits of gray", "PNG, 16 bits of colour")  # fmt: skip
    assert look.since == (1 if what in plain else 2)
