"""The same signature is the same experiment, for as long as the project lives."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ablate.config import signature as module
from ablate.config.axes import HeadConfig
from ablate.config.pretrained import packaged_file
from ablate.config.schema import Config
from ablate.config.signature import identity, signature
from tests.given import TINY, config_of

# Never change a line of this table: a new signature would retrain everybody's finished runs.
FOREVER = {
    (): "4faff35f3194",
    ("backbone=resnet50", "optimizer=sgd", "seed=1"): "df29e240f3f5",
    (
        "backbone=timm",
        "backbone.name=efficientnet_b5",
        "optimizer=adamw",
        "weight_decay=wd1e-2",
        "augment=flip_crop",
    ): "83c56d030a6a",
    ("head=mlp512x2", "batch_size=b256", "scheduler=plateau"): "3682e6efed63",
    ("scheduler=one_cycle", "weight_decay=wd5e-4", "augment=none"): "fe54ee18af00",
    ("scheduler=step", "head=mlp512", "optimizer.lr=0.1", "trainer.epochs=100"): "e587aab31dfc",
    (
        "data=tiny_imagenet",
        "data.path=x",
        "backbone=timm",
        "backbone.name=efficientnet_b5",
        "backbone.pretrained=true",
    ): "840c0636bc28",
    ("backbone=effnet_b5", "augment=strong", "scheduler=warmup_cosine", "weight_decay=wd5e-2_spare"): "da0708e705ba",
    ("backbone=resnet50", "backbone.pretrained=true", "backbone.lr_scale=0.1", "data.resolution=128"): "47676b25dea5",
    ("backbone.freeze=true", "augment=none"): "3e0d17a42e8f",
    (
        "backbone.stem_stride=1",
        "backbone.freeze=stages:2",
        "trainer.label_smoothing=0.1",
        "augment=color",
    ): "e7cccd16462c",
    (*TINY, "scheduler=none", "data.holdout=0.2"): "9720568bc742",
}


def name(*overrides: str, fingerprint: str = "images") -> str:
    return signature(identity(config_of(*overrides), fingerprint))


@pytest.mark.parametrize("overrides", FOREVER, ids=" ".join)
def test_signatures_never_change(overrides: tuple[str, ...]) -> None:
    assert name(*overrides) == FOREVER[overrides]


def test_a_field_added_at_its_neutral_value_renames_nothing() -> None:
    @dataclass
    class NeutralHead(HeadConfig):
        later: float = field(default=0.0, metadata={"neutral": 0.0})

    @dataclass
    class CarelessHead(HeadConfig):
        later: float = 0.0

    def named(head: HeadConfig) -> str:
        return signature(identity(dataclasses.replace(config_of(), head=head), "images"))

    assert named(NeutralHead()) == name()
    assert named(NeutralHead(later=0.5)) != name()
    assert named(CarelessHead()) != name()  # what would happen without the neutral value


@pytest.mark.parametrize(
    "override", ["trainer.device=cpu", "trainer.threads=2", "study.name=other", "force=true", "data.cache=x"]
)
def test_where_and_how_fast_do_not_count(override: str) -> None:
    assert name(override) == name()


def other(value: float) -> str:
    if isinstance(value, bool):
        return str(not value).lower()
    return str(value + (1 if isinstance(value, int) else 0.1))


def changed(group: str, config: Config) -> list[str]:
    """One override per hashed field of a group, each with another value than the default's."""
    fields = dataclasses.fields(getattr(config, group))
    values = [(f.name, getattr(getattr(config, group), f.name)) for f in fields if f.metadata.get("hashed", True)]
    return [f"{group}.{key}={other(value)}" for key, value in values if isinstance(value, bool | int | float)]


@pytest.mark.parametrize(
    "override",
    [
        *changed("trainer", config_of()),
        *(o for o in changed("data", config_of()) if "size" not in o),
        *changed("batch_size", config_of()),
        *changed("weight_decay", config_of()),
        *changed("augment", config_of()),
        "optimizer.lr=0.5", "optimizer.eps=1e-7", "backbone.pretrained=true", "seed=1", "head.dropout=0.1",
    ],
)  # fmt: skip
def test_everything_that_decides_the_numbers_counts(override: str) -> None:
    assert name(override) != name()


def test_numbers_are_normalised() -> None:
    assert name("optimizer.lr=0.001") == name("optimizer.lr=1e-3") == name()
    assert name("head.dropout=0") == name("head.dropout=-0.0") == name()


def test_the_data_count_by_content_and_numerics_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert name(fingerprint="other") != name()
    before = name()
    monkeypatch.setattr(module, "NUMERICS", module.NUMERICS + 1)
    assert name() != before


def test_a_weights_file_counts_by_content_not_by_path(tmp_path: Path) -> None:
    one, same, other = (tmp_path / n for n in ("one.pth", "same.pth", "other.pth"))
    one.write_bytes(b"1")
    same.write_bytes(b"1")
    other.write_bytes(b"2")
    named = [name(f"backbone.weights={path}") for path in (one, same, other)]
    assert named[0] == named[1] != named[2]
    with pytest.raises(ValueError, match=r"gone\.pth cannot be read"):
        name(f"backbone.weights={tmp_path / 'gone.pth'}")


def test_which_pretrained_weights_are_taken_counts_where_they_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """By timm's tag when timm fetches them, by content when a package has them, not at all from scratch."""
    assert name("backbone.tag=a1_in1k") == name()
    assert name("backbone.tag=a1_in1k", "backbone.pretrained=true") != name("backbone.pretrained=true")
    lite = ("backbone=effnet_lite0", "backbone.pretrained=true")
    file = packaged_file(config_of(*lite).backbone)
    assert name(*lite) == name(*lite, "backbone.tag=other") == name("backbone=effnet_lite0", f"backbone.weights={file}")
    packaged = name(*lite)
    monkeypatch.setattr("ablate.config.pretrained.PACKAGES", {})
    assert name(*lite) != packaged
