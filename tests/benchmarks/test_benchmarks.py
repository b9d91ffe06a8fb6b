"""What the benchmarks claim of the work that they compare: that it is the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scipy import stats

from ablate.config.pretrained import timm_knows
from ablate.train.model import build
from benchmarks import designs, gpu
from benchmarks.peers.recipe import loaders, network
from benchmarks.peers.work import BATCH, SEEDS, Work, prepare
from benchmarks.simulation.scenarios import RUN_SD

CLASSES = 3


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return prepare(tmp_path_factory.mktemp("work"), "test_resnet", CLASSES, 40, 2, 2)


def test_peers_begin_with_our_weights(work: Work) -> None:
    config = work.config()
    images = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8).permute(0, 3, 1, 2)

    def ours(seed: int) -> torch.Tensor:
        return build(config.backbone, config.head, CLASSES, seed).eval()(images)

    model = build(config.backbone, config.head, CLASSES, 0)
    peer = network("test_resnet", CLASSES, work.initial / "0.pt").eval()
    theirs = peer(((images.float() - model.mean) / model.std).to(memory_format=torch.channels_last))
    torch.testing.assert_close(theirs, ours(0))
    assert not torch.allclose(theirs, ours(1), atol=1e-3)
    assert len(work.initial_sha256) == len(SEEDS)
    assert work.sweep("lr") == ["lr=0.1,0.01", "seed=0,1,2,3"]


def test_peers_train_and_evaluate_as_many_images(work: Work) -> None:
    training, validation = loaders(work.split, "test_resnet", BATCH, 0)
    assert len(training) * work.epochs == work.steps
    assert sum(len(y) for _, y in validation) == sum(work.evaluated) == CLASSES * (4 + 2)
    assert len({path.resolve() for path in work.split.rglob("*.jpg")}) == CLASSES * 42  # none twice


@pytest.mark.parametrize(
    ("name", "known"), [("resnet18", True), ("test_resnet", True), ("resnt18", False), ("resnet18.", False)]
)
def test_timms_models_are_found_in_its_source(name: str, known: bool) -> None:
    assert timm_knows(name) is known


def test_importing_nothing_of_timm_for_that() -> None:

    program = (
        "import sys; from ablate.config.pretrained import timm_knows as f; print(f('resnet18'), 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "True False", done.stderr


SMALL = ("--device=cpu", "--networks=resnet10t", "--size=32", "--batch=32", "--images=80", "--rounds=1", "--seconds=0")


@pytest.mark.parametrize("more", [(), pytest.param(("--peers", "--workers=0"), marks=pytest.mark.slow)])
def test_the_benchmark_of_a_gpu_runs_without_one(
    more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu", *SMALL, *more, f"--json={tmp_path / 'gpu.json'}"])
    gpu.main()
    found = json.loads((tmp_path / "gpu.json").read_text())["resnet10t"]
    ways = {"trainer", "ready", "eager", "limit"}
    assert found.keys() == (ways | {"timm", "timm_start_s", "start_s"} if more else ways)
    assert min(found.values()) > 0


def test_a_half_width_is_that_of_the_formula() -> None:
    sizes, seeds = (2,) * 7, 3
    found = designs.measure("fractional", designs.study("fractional", sizes, seeds, 16), 40)
    assert found is not None
    # 16 balanced combinations: a difference of two means of 24 runs, and seeds against seven axes to judge it by
    df = (seeds - 1) * (16 - 1)
    expected = stats.t.ppf(0.975, df) * RUN_SD * (4 / found.runs) ** 0.5
    assert found.runs == 16 * seeds
    assert found.alone == pytest.approx(expected, rel=0.08)
    assert found.width == pytest.approx(found.alone * stats.t.ppf(1 - 0.025 / 7, df) / stats.t.ppf(0.975, df), rel=1e-3)
    assert found.covered > 0.9


def test_the_fewest_seeds_are_enough_and_one_less_is_not() -> None:
    sizes = (2,) * 7
    found = designs.cheapest("one_at_a_time", sizes, 30)
    assert found is not None
    assert found.width <= designs.WANTED
    less = designs.measure("one_at_a_time", designs.study("one_at_a_time", sizes, found.seeds - 2), 30)
    assert less is not None
    assert less.width > designs.WANTED
