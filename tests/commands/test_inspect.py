"""`ablate inspect`: what a folder holds, without training."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.commands.cli import main

Maker = Callable[..., Path]


def test_a_folder_is_described_and_drawn(
    image_folder: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = image_folder()
    (root / "train" / "cat" / "notes.txt").write_text("x")
    Image.open(root / "train" / "cat" / "0.png").save(root / "val" / "dog" / "leaked.png")
    assert main(["inspect", str(root), "--size", "32"]) == 0
    said = capsys.readouterr().out
    for line in (f"{root}: 2 classes", "  cat         6       2", "  dog         6       3",
                 "12 training images, of which 2 are held out (data.holdout=0.1 of each class); 5 test images",
                 "sides: 20 to 24 pixels, scaled and cropped to 32 x 32", "formats: 17 PNG", "left out: 1 file",
                 "  1 not a picture (.txt): train/cat/notes.txt",
                 f"to train on it: python -m ablate data=folder data.path={root} data.size=32",
                 "a few pictures of each class, as a network sees them: inspect-images.png"):  # fmt: skip
        assert line in said, said
    sheet = np.asarray(Image.open(tmp_path / "inspect-images.png"))
    assert sheet.shape[2] == 3
    assert len(np.unique(sheet)) > 50  # pictures, not only words
    assert not (tmp_path / "outputs").exists()


def test_the_same_as_facts(image_folder: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(image_folder()), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["format"] == 1
    assert facts["classes"][0] == {"name": "cat", "training_images": 6, "test_images": 2}
    assert (facts["training_images"], facts["holdout_images"], facts["test_images"]) == (12, 2, 4)
    assert facts["reading"]["formats"] == {"PNG": 16}


def test_all_that_is_wrong_is_listed(image_folder: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    root = image_folder()
    for i in (0, 1):
        (root / "train" / "cat" / f"{i}.png").write_bytes(b"")
    assert main(["inspect", str(root)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{root} cannot be used as it is:", "  train/cat/0.png is empty", "  train/cat/1.png is empty",
    ]  # fmt: skip
    assert main(["inspect", str(root / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
