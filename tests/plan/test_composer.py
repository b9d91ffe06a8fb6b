"""Merging composed levels gives what composing every combination gives, for a fraction of the time."""

import itertools
import pickle
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from ablate.config.compose import explain
from ablate.plan import planned_run
from ablate.plan.composer import Composer
from ablate.plan.factors.named import named_levels, seed_words
from ablate.plan.planned_run import PlannedRun
from ablate.plan.planner import Planner
from tests.given import ROOT, hydra_of


def composed_by_hydra(loader: ConfigLoader, master: DictConfig, job: Sequence[str]) -> PlannedRun:
    composed = loader.load_sweep_config(master, list(job))
    return planned_run.plan_run(composed, composed.hydra.runtime.choices, job, lambda _: "images")


def told(run: PlannedRun) -> Any:
    """All that a planned run says of itself."""
    return (
        run.signature, run.label, run.levels, list(run.levels), run.settings, run.identity, run.config, run.overrides,
        OmegaConf.to_yaml(run.composed),
    )  # fmt: skip


def jobs_of(loader: ConfigLoader, master: DictConfig, words: Sequence[str]) -> list[list[str]]:
    params = OmegaConf.to_container(master.hydra.sweeper).get("params") or {}
    preset = [f"{k}={v}" for k, v in params.items() if not k.startswith("tune.")]  # which is added to planned runs
    levels = named_levels(loader, preset, words)
    study = OmegaConf.to_object(master.study)
    study.when = [entry for entry in study.when if "tune." not in entry]
    said = [word.partition("=")[0] for word in words]
    seeds, _ = seed_words(levels.pop("seed", None), master.seeds, study, words)
    return [[*cell, seed] for seed in seeds for cell in Planner(loader, master, levels, study, said).cells(seeds[0])]


def merger_of(loader: ConfigLoader, master: DictConfig, jobs: Sequence[Sequence[str]]) -> Composer:
    shared = [word for word in jobs[0] if all(word in job for job in jobs)]
    return Composer(loader, master, shared, lambda _: "images")


PRESETS = sorted(p.stem for p in (ROOT / "conf" / "study").glob("*.yaml"))
ODD = [
    ("optimizer.lr=0.1,1e-1,1", "seeds=2"),
    ("optimizer=adam,sgd", "optimizer.lr=0.1,0.01"),
    ("optimizer.lr=0.1,0.01", "optimizer=adam,sgd"),  # the value before its group
    ("backbone=timm", "backbone.name=test_resnet,test_vit"),
    ("head=linear,mlp512", "head.hidden=[8],[16,8]", "head.activation=relu"),
    ("optimizer.betas=[0.9,0.99],[0.8,0.99]",),
    ("trainer={epochs:4}", "batch_size=b64,b128"),
    ("data=folder", "data.path=a,b"),
    ("data.path=${oc.env:HOME}", "seed=1,2"),
    ("weight_decay=none,wd1e-4", "weight_decay.value=0"),
    ("study.name=odd", "study.delta=0.5", "augment=none,flip"),
    ("+reference=original", "head=linear,mlp512"),
]
SLOW = [
    *((f"study={preset}",) for preset in PRESETS),
    ("trainer.epochs=1,2", "trainer.label_smoothing=${optimizer.lr}", "optimizer.lr=0.1,0.2"),
    ("++optimizer.lr=0.1,0.2", "optimizer=adam,sgd"),
    ("data=tiny_imagenet,cifar10", "data.path=x", "data.resolution=32,null"),
]


@pytest.mark.parametrize(
    "words", [*(pytest.param(words, marks=pytest.mark.slow) for words in SLOW), *ODD], ids=" ".join
)
def test_merging_gives_what_composing_gives(words: tuple[str, ...]) -> None:
    with hydra_of(*(w for w in words if w.startswith(("study", "seeds")))) as (loader, master):
        jobs = jobs_of(loader, master, words)
        merger = merger_of(loader, master, jobs)
        for job in jobs[:: max(1, len(jobs) // 4)]:
            try:
                expected = composed_by_hydra(loader, master, job)
            except ValueError as error:
                with pytest.raises(ValueError, match=re.escape(str(error))):
                    merger.plan(job)
            else:
                assert told(merger.plan(job)) == told(expected)


def test_a_merged_run_survives_the_way_to_its_process() -> None:
    with hydra_of() as (loader, master):
        jobs = jobs_of(loader, master, ["optimizer=adam,sgd"])
        run = merger_of(loader, master, jobs).plan(jobs[1])
        assert told(pickle.loads(pickle.dumps(run))) == told(composed_by_hydra(loader, master, jobs[1]))


@pytest.mark.parametrize(
    "words",
    [
        ["backbone=resnt50,resnet18"], ["optimizer.lrr=1,2"], ["optimzer=adam,sgd"], ["+anything=1,2"],
        ["optimizer.lr=fast,slow"], ["~optimizer.lr", "seed=1,2"], ["head.hidden=3,4"], ["seed=x,y"], ["backbone=timm,resnet18"],
        ["optimizer@x=adam,sgd"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mistake_is_answered_in_the_same_words_and_found_out_once(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hydra_of() as (loader, master):
        jobs = jobs_of(loader, master, words)
        merger = merger_of(loader, master, jobs)
        with pytest.raises((HydraException, ValueError)) as expected:
            composed_by_hydra(loader, master, jobs[0])
        for again in (False, True):
            with pytest.raises((HydraException, ValueError)) as caught:
                merger.plan(jobs[0])
            assert explain(caught.value) == explain(expected.value)
            if not again and "+" not in words[0] and "~" not in words[0]:
                monkeypatch.setattr(loader, "load_sweep_config", None)


def test_each_level_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with hydra_of() as (loader, master):
        jobs = jobs_of(
            loader, master, ["optimizer=adam,adamw,sgd", "head=linear,mlp512", "optimizer.lr=1,2,3", "seed=0,1"]
        )
        calls = []
        original = loader.load_sweep_config
        monkeypatch.setattr(loader, "load_sweep_config", lambda *a: calls.append(a) or original(*a))
        merger = merger_of(loader, master, jobs)
        assert len({merger.plan(job).signature for job in jobs}) == 36
        assert len(calls) == 1 + 3 + 2


@pytest.mark.slow
def test_a_level_that_reaches_beyond_its_group_is_left_to_hydra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its twin, with the look at what else it changed put out of action, gives another configuration."""
    folder = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", folder)
    (folder / "optimizer" / "far.yaml").write_text(
        "# @package _global_\noptimizer: {name: sgd, lr: 0.1, momentum: 0.9, nesterov: true}\ntrainer: {label_smoothing: 0.1}\n"
    )
    with hydra_of(folder=folder) as (loader, master):
        jobs = jobs_of(loader, master, ["optimizer=adam,far", "seed=0,1"])

        def differ() -> list[bool]:
            merger = merger_of(loader, master, jobs)
            return [told(merger.plan(job)) != told(composed_by_hydra(loader, master, job)) for job in jobs]

        assert not any(differ())

        def careless(self: Composer, group: str, word: str) -> tuple[Any, str]:
            composed = self.loader.load_sweep_config(self.master, [*self.shared, word])
            return composed._get_node(group), composed.hydra.runtime.choices[group]

        monkeypatch.setattr(Composer, "_compose_level", careless)
        assert differ() == [False, True, False, True]


def test_the_order_of_the_words_does_not_change_the_run() -> None:
    words = ["optimizer=sgd", "optimizer.lr=0.1", "head=mlp512", "seed=1"]
    with hydra_of() as (loader, master):
        merger = merger_of(loader, master, [words])
        assert len({merger.plan(list(order)).signature for order in itertools.permutations(words)}) == 1
