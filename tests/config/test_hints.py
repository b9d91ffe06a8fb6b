"""First tries: what is written as other tools have it is answered by the setting that is meant, before anything starts."""

from pathlib import Path

import pytest

from ablate.config import hints
from ablate.config.words import for_hydra


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr=0.1", "optimizer.lr=0.1"), ("pretrained=true", "backbone.pretrained=true"), ("epochs=10", "trainer.epochs=10"),
        ("model=resnet50", "backbone=resnet50"), ("Backbone=ResNet18", "backbone=resnet18"), ("device=cuda", "trainer.device=cuda"),
        ("wd=0.1", "weight_decay=0.1"), ("bs=128,256", "batch_size=128,256"), ("batchsize=64", "batch_size=64"),
        ("optimizer.learning_rate=3", "optimizer.lr=3"), ("learning-rate=3", "optimizer.lr=3"), ("optimizer.LR=3", "optimizer.lr=3"),
        ("optimizer.weight_decay=0.01", "weight_decay=0.01"), ("trainer.lr=3", "optimizer.lr=3"), ("optim.lr=3", "optimizer.lr=3"),
        ("trainer.max_epochs=5", "trainer.epochs=5"), ("num_epochs=5", "trainer.epochs=5"), ("aug=Mixup", "augment=mixup"),
        ("augmentation=none", "augment=none"), ("optimiser=adam", "optimizer=adam"), ("dataset=cifar10", "data=cifar10"),
        ("data.dir=/x", "data.path=/x"), ("model.name=resnet50", "backbone.name=resnet50"), ("dryrun=true", "dry_run=true"),
        ("dry-run=true", "dry_run=true"), ("name=foo", "study.name=foo"), ("amp=true", "trainer.precision=fp16"),
        ("image_size=64", "data.resolution=64"), ("dropout=0.5", "head.dropout=0.5"), ("momentum=0.9", "optimizer.momentum=0.9"),
        ("size=64", "batch_size.size=64 or data.size=64"), ("optimzer=adam", "optimizer=adam"), ("optimizer.lrr=1", "optimizer.lr=1"),
        ("+optimizer.lrr=1", "optimizer.lr=1"), ("n_seeds=3", "seeds=3"), ("output_dir=/x", "study.root=/x"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_answered_by_the_one_that_is_meant(word: str, meant: str) -> None:
    with pytest.raises(ValueError, match="is unknown; did you mean") as caught:
        for_hydra([word])
    assert str(caught.value).endswith(f"did you mean {meant}?")


def test_every_synonym_is_of_a_setting_and_no_setting_itself() -> None:
    known = hints.fields()
    assert set(hints.SYNONYMS.values()) <= known.keys()
    assert not {hints.folded(key) for key in known} & (hints.SYNONYMS.keys() | hints.NEEDLESS_NAMES)


@pytest.mark.parametrize("key", [key for key in hints.fields() if key != "study.reference"])
def test_no_setting_is_taken_for_a_slip(key: str) -> None:
    """The twin: with one letter doubled, each is."""
    hints.refuse([f"{key}=1"], None)
    if key in ("data", "head", "seed"):
        return
    with pytest.raises(ValueError, match="is unknown"):
        hints._refuse_key(f"{key}zz", "1", ())


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("gpus=1", "CUDA_VISIBLE_DEVICES=0 chooses"), ("num_workers=4", "study.slots=N"), ("resume=true", "the same command"),
        ("mode=fast", "ablate --help lists"), ("foo.bar=1", "foo.bar is unknown"),
    ],
)  # fmt: skip
def test_what_needs_no_setting_says_why(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        for_hydra([word])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=0", "1", "2"], "write seed=0,1,2, with commas and without spaces"),
        (["backbone=resnet18,", "resnet34"], "write backbone=resnet18,resnet34,"),
        (["backbone=resnet18", ",", "resnet34", "seeds=2"], "write backbone=resnet18,resnet34,"),
        (["backbone=", "resnet18"], "write backbone=resnet18,"),
        (["backbone=resnet18", "dry_run"], "write dry_run=true$"),
        (["backbone=resnet18", "adam"], "write optimizer=adam$"),
        (["backbone=resnet18|resnet34"], "as in backbone=resnet18,resnet34$"),
        (["backbone=resnet18 resnet34"], "as in backbone=resnet18,resnet34$"),
        (["backbone=[resnet18,resnet34]"], "as in backbone=resnet18,resnet34$"),
        (["optimizer.lr=[0.1,0.01]"], "as in optimizer.lr=0.1,0.01$"),
        (["optimizer.lr=0.1;0.01"], "as in optimizer.lr=0.1,0.01$"),
        (["seed=0-4"], r"write a series as 'seed=range\(0,5\)'"),
        (["backbone==resnet18"], "has two '='; write backbone=resnet18$"),
        (["backbone=resnet18 optimizer=adam"], "several settings in one word"),
        (["optimizer="], "has no level; optimizer has adam, adamw"),
        (["seeds=three"], "seeds=three must be a whole number"),
        (["trainer.epochs=2.5"], "trainer.epochs=2.5 must be a whole number"),
        (["optimizer.lr=0.1,fast"], "optimizer.lr=fast must be a number"),
        (["optimizer=adam,adamm"], r"^optimizer=adamm: no such level; did you mean adam\? \(optimizer has"),
        (["backbone=resnt50"], r"did you mean resnet50\?.*, and every model of timm by its name"),
        (["backbone=vit_base_patch16_225"], r"did you mean vit_base_patch16_224\?"),
        (["backbone=convnext"], r"did you mean convnext_\w+ or convnext_\w+\?"),
        (["backbone=resnet18.a9"], r"did you mean resnet18\.a1_in1k or "),
        (["backbone.name=resnt50"], r"not a model of timm; did you mean resnet50\?"),
        (["batch_size=big"], "batch_size has .*, and every number"),
        (["head=512"], "did you mean mlp512"),
        (["study=mystudy"], "write study.name=mystudy"),
        (["data=imagenet"], "own pictures are data=folder data.path=DIR"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_with_the_way_out(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        for_hydra(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.lr=range(0.1,0.4,0.1)", "batch_size=choice(64,128)", "backbone=glob(resnet*)", "optimizer.betas=[0.9,0.99]",
        "head.hidden=[8],[16,8]", "optimizer.lr=${weight_decay.value}", "trainer={epochs:4}", "trainer.clip_norm=null",
        "trainer.epochs=1_0", "optimizer.lr=nan", "study.exclude=['optimizer=sgd head=linear']", "+reference=original",
        "study.reference.title=x", "optimizer@x=adam,sgd", "hydra/launcher=ray", "hydra.launcher.partition=gpu", "~optimizer.lr",
        "seed=0,1,2", "backbone=timm,resnet18", "study.name=a b", "data.path=a=1", "optimizer.lr='0.1'",
    ],
)  # fmt: skip
def test_what_hydra_reads_is_left_to_it(word: str) -> None:
    assert for_hydra([word])[0].partition("=")[0] == word.partition("=")[0]


def test_levels_and_groups_of_the_commands_own_folders_are_known(tmp_path: Path) -> None:
    """The twin: without the folder, or with an unknown search path, they are refused, or left to Hydra."""
    for group in ("backbone", "experiment"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "Mine.yaml").write_text("")
    words = ["backbone=Mine", "+experiment=Mine"]
    assert for_hydra(words, [tmp_path]) == words
    assert for_hydra([*words, f"hydra.searchpath=[file://{tmp_path}]"])[:2] == words
    assert for_hydra(words, elsewhere=True) == words
    for word in words:
        with pytest.raises(ValueError, match=r"no such level|is unknown"):
            for_hydra([word])


def test_a_search_path_keeps_the_levels_that_are_no_files() -> None:
    (word,) = for_hydra(["hydra.searchpath=[file:///x,pkg://y]"])
    assert word == "hydra.searchpath=[file:///x,pkg://y,levels://]"
    assert for_hydra([word]) == [word]


def test_a_folder_of_pictures_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pets").mkdir()
    (tmp_path / "cifar10").mkdir()  # the level wins
    assert for_hydra(["data=pets"]) == ["data=folder", "data.path=pets"]
    assert for_hydra(["data=/a/Straße=1,/b"]) == ["data=folder", 'data.path="/a/Straße=1","/b"']
    assert for_hydra(["data=cifar10"]) == ["data=cifar10"]
    with pytest.raises(ValueError, match="data=pets: no such level"):
        for_hydra(["data=pets", "data.path=x"])


def test_levels_are_spelled_before_hydra_reads_them() -> None:
    assert for_hydra(["batch_size=128,b64,192", "weight_decay='0.05'", "optimizer=Adam"]) == [
        "batch_size=b128,b64,b192", "weight_decay=wd5e-2", "optimizer=adam",
    ]  # fmt: skip
    for word in for_hydra(["batch_size=128"]):
        assert for_hydra([word]) == [word]
