"""Plans that cannot be trained: one sentence with the way out, exit code 2, and nothing started."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image

from tests.data.encodings import picture
from tests.given import TINY, python

pytestmark = pytest.mark.slow


def other_weights(folder: Path) -> str:
    torch.save(timm.create_model("test_efficientnet").state_dict(), folder / "other.pth")
    return f"backbone.weights={folder / 'other.pth'}"


def spoilt(folder: Path) -> str:
    for name in ("a.png", "b.png"):
        (folder / "pets" / "train" / "cat" / name).write_bytes(b"")
    return "batch_size.size=8"


def lonely(folder: Path) -> str:
    (folder / "pets" / "train" / "bird").mkdir()
    picture().save(folder / "pets" / "train" / "bird" / "one.png")
    return "batch_size.size=8"


def own_holdout(folder: Path) -> str:
    for name in ("cat", "dog"):
        (folder / "pets" / "test" / name).mkdir(parents=True)
        picture().save(folder / "pets" / "test" / name / "0.png")
    return "data.holdout=0.2"


VIT = "backbone=timm backbone.name=vit_tiny_patch16_224 "
DOOMED: dict[str, tuple[str | Callable[[Path], str], str]] = {
    "batch": ("batch_size.size=64", r"batch_size\.size=64 is larger than the 18 images of an epoch"),
    "network and size": (VIT, r"vit_tiny_patch16_224 does not accept images of 32 pixels; use data\.resolution=224"),
    "measured": (VIT + "dry_run=measure", r"does not accept images of 32 pixels; use data\.resolution=224"),
    "swept": ("backbone.name=test_resnet,swin_tiny_patch4_window7_224", r"swin_tiny\S* does not .*\(1 of 2 runs, as "),
    "weights": (other_weights, r"other\.pth does not fit test_resnet: .*the file has conv_stem\.weight"),
    "one image left": (
        "backbone.name=resnet10t batch_size.size=16 batch_size.micro=15",
        r"batch_size\.micro=15 leaves a micro-batch of one image \(of 16\), on which resnet10t cannot be trained; use another",
    ),
    "stages": ("backbone.freeze=stages:40", r"backbone\.freeze=stages:40: test_resnet has \d+ stages"),
    "stem": (VIT + "backbone.stem_stride=1 data.resolution=224", r"stem_stride is for ResNets and EfficientNets"),
    "device": ("trainer.device=cuda:9", r"trainer\.device=cuda:9 is not (available here|there)"),
    "bad files": (spoilt, r"for 2 reasons: train/cat/a\.png is empty; train/cat/b\.png is empty"),
    "class of one": (lonely, r"class bird has 1 training image and the holdout needs 1, .* add a second one or remove the class"),
    "unread": (own_holdout, r"data\.holdout=0\.2 has no effect: .* has its own holdout .* remove it"),
    "tag": ("backbone.tag=in1k backbone.weights=x.pth", r"backbone\.tag=in1k has no effect with backbone\.weights=x\.pth; remove one of them"),
}  # fmt: skip


def pets(folder: Path) -> Path:
    for part, count in (("train", 10), ("val", 3)):
        for label, name in enumerate(("cat", "dog")):
            (folder / "pets" / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (20 * i, 100 * label, count)).save(
                    folder / "pets" / part / name / f"{i}.png"
                )
    return folder / "pets"


@pytest.mark.parametrize("which", DOOMED)
def test_a_plan_that_cannot_be_trained_is_told_before_anything_starts(which: str, tmp_path: Path) -> None:
    pets(tmp_path)
    given, sentence = DOOMED[which]
    words = (given if isinstance(given, str) else given(tmp_path)).split()
    base = [
        w
        for w in (*TINY, "batch_size.size=8", "dry_run=true")
        if w.partition("=")[0] not in {x.partition("=")[0] for x in words}
    ]
    done = python("-m", "ablate", "-m", *base, *words, "data=folder", "data.path=pets", "data.size=32", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(sentence, done.stderr), done.stderr
    assert done.stderr.startswith("ablate: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_plan_that_can_be_trained_is_kept_in_mind_and_the_next_asks_nobody(tmp_path: Path) -> None:
    """The twin of all of them; the second plan needs no torch, as the answer is known."""
    pets(tmp_path)
    words = (*TINY, "batch_size.size=8", "dry_run=true", "data=folder", "data.path=pets", "data.size=32")
    first, second = (python("-X", "importtime", "-m", "ablate", *words, cwd=tmp_path) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr[-300:] + second.stderr[-300:]
    (answers,) = tmp_path.glob("cache/ablate/networks-*.json")
    assert not re.search(r"\| +torch\n", second.stderr)
    # The twin: without what was answered, the same plan asks again.
    answers.unlink()
    python("-m", "ablate", *words, cwd=tmp_path)
    assert answers.exists()


def test_invalid_networks_are_left_out_if_so_wished(tmp_path: Path) -> None:
    pets(tmp_path)
    done = python(
        "-m", "ablate", "-m", "backbone=timm", "backbone.name=test_resnet,vit_tiny_patch16_224", "batch_size.size=8",
        "data=folder", "data.path=pets", "data.size=32", "study.invalid=skip", "trainer.epochs=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "left out as invalid: vit_tiny_patch16_224 does not accept images of 32 pixels" in done.stdout
    assert "the study is called runs now" in done.stdout  # one combination is left, which compares nothing
    assert "study runs: 1 DONE" in done.stdout
