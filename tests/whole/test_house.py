"""The house: few names in a folder, imports in one direction, and a new axis in three places."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.report.study import gather
from tests.given import ROOT, TINY
from tests.report.made_up import written

RELEASED = ROOT / "tests" / "records" / "released" / "0.1.0"
FOLDERS = ("ablate", "report", "tests", "benchmarks")
NOT_COUNTED = {
    "__init__.py",
    "__main__.py",
    "__pycache__",
    "py.typed",
    "status.py",
    "reproduce.py",
    "download.py",
}  # doors
MOST = 15  # names in a folder


def test_no_folder_holds_more_names_than_one_can_look_through() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names: dict[Path, set[str]] = {}
    for line in tracked.stdout.split():
        path = Path(line)
        for child in (path, *path.parents[:-2]):
            names.setdefault(child.parent, set()).add(child.name)
    assert {Path("ablate"), Path("report/sections"), Path("tests/train")} <= names.keys()
    for folder, inside in names.items():
        counted = inside - NOT_COUNTED if folder == Path("ablate") else {n for n in inside if not n.startswith("__")}
        assert len(counted) <= MOST, (folder, sorted(counted))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project in which to build."""
    for name in ("ablate", "report", "conf", "hydra_plugins"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=ignored, symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "copy")
    return tmp_path / "copy"


def contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on a copy of the project."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env=environment)


WRONG = [
    ("ablate/records/lock.py", "ablate.train.loop", "the folders are the pipeline"),
    ("ablate/plan/cost.py", "ablate.train.model", "the folders are the pipeline"),
    ("ablate/plan/cost.py", "torch", "torch only where networks are trained"),
    ("ablate/records/lock.py", "omegaconf", "Hydra only where configurations are composed"),
    ("report/stats/ranking.py", "ablate.report.sections.levels", "from the page down to its blocks"),
    ("report/sections/levels.py", "ablate.config.schema", "of ablate only records and design"),
    ("report/sections/levels.py", "torch", "torch only where networks are trained"),
]


@pytest.mark.slow
def test_every_import_in_the_wrong_direction_is_found(copy: Path) -> None:
    for module, imported, _ in WRONG:
        (copy / module).write_text(f"{(copy / module).read_text()}\nimport {imported}\n")
    done = contracts(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    for module, imported, broken in WRONG:
        importer = f"ablate.{module.removeprefix('ablate/').removesuffix('.py').replace('/', '.')}"
        told = done.stdout.split("Broken contracts")[1]
        assert re.search(rf"{broken}.*{re.escape(importer)} -> {re.escape(imported)} ", told, re.DOTALL), done.stdout


@pytest.mark.slow
def test_a_module_without_a_floor_is_found(copy: Path) -> None:
    (copy / "ablate" / "loose.py").write_text("")
    done = contracts(copy)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"the folders are the pipeline.*loose", done.stdout, re.DOTALL), done.stdout


@pytest.mark.slow
def test_as_they_are_the_contracts_are_kept(copy: Path) -> None:
    done = contracts(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


# -- a new axis -------------------------------------------------------------------------------


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))


def add_axis(copy: Path, neutral: bool) -> None:
    """What CONTRIBUTING.md says: the folder of its levels, its dataclass, its consumer."""
    (copy / "conf" / "loss").mkdir()
    (copy / "conf" / "loss" / "plain.yaml").write_text("weight: 1.0\n")
    (copy / "conf" / "loss" / "doubled.yaml").write_text("weight: 2.0\n")
    replace(copy / "conf" / "config.yaml", "  - scheduler: cosine\n", "  - scheduler: cosine\n  - loss: plain\n")
    metadata = ', metadata={"neutral": 1.0}' if neutral else ""
    axes = copy / "ablate" / "config" / "axes.py"
    replace(
        axes,
        "@dataclass\nclass Axes:\n",
        f"@dataclass\nclass LossConfig:\n    weight: float = field(default=1.0{metadata})\n\n\n@dataclass\nclass Axes:\n",
    )
    last = "    scheduler: SchedulerConfig = MISSING\n"
    replace(axes, last, f"{last}    loss: LossConfig = MISSING\n")
    loop = copy / "ablate" / "train" / "loop.py"
    replace(loop, "        loss = loss * (", "        loss = self.config.loss.weight * loss * (")


def ablate(copy: Path, folder: Path, *words: str) -> str:
    sweep = (*TINY, "optimizer=adam,sgd", "batch_size=b256", "trainer.epochs=1", "trainer.tensorboard=false",
             "study.name=main")  # fmt: skip
    command = [sys.executable, "-m", "ablate", *(words if "=" not in words[0] else (*sweep, *words))]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with a study that was trained before the axis existed: two combinations, two seeds, in micro-batches."""
    study = shutil.copytree(RELEASED, tmp_path / "user" / "outputs" / "main")
    for path in study.glob("*/record.json"):
        entry = json.loads(path.read_text())
        path.write_text(json.dumps(entry | {"batch": {"size": 256, "micro": 64}}))
    return tmp_path / "user"


@pytest.mark.slow
def test_a_new_axis_leaves_what_was_trained_before_it_as_it_was(copy: Path, old: Path, no_figures: None) -> None:
    add_axis(copy, neutral=True)
    cells = json.loads((old / "outputs" / "main" / "study.json").read_text())["cells"]
    ablate(copy, old, "seeds=3")
    plan = json.loads((old / "outputs" / "main" / "study.json").read_text())
    assert [cell["levels"] for cell in plan["cells"]] == [cell["levels"] for cell in cells]
    assert [list(cell["runs"]) for cell in plan["cells"]] == [["0", "1", "2"]] * 2
    assert '"loss' not in json.dumps(plan)
    assert plan["axes"] == {"optimizer": ["adam", "sgd"]}
    new = [json.loads(path.read_text()) for path in (old / "outputs" / "main").glob("*-s2-*/record.json")]
    assert len(new) == 2
    for entry in new:
        assert "loss" not in entry["levels"] | entry["identity"]
        assert entry["batch"] == {"size": 256, "micro": 64}  # all seeds of a combination are on one rung
    text = written(gather.load(old / "outputs" / "main")).read_text()  # the report's code is as it was
    assert "6 of 6 finished" in text
    assert "**optimizer**: " in text and "**loss**: " not in text


@pytest.mark.slow
def test_a_new_axis_is_an_axis(copy: Path, old: Path, no_figures: None) -> None:
    add_axis(copy, neutral=True)
    assert "loss: doubled, plain" in ablate(copy, old, "--help")
    out = ablate(copy, old, "loss=plain,doubled", "seeds=2")
    assert "4 finished, 4 to train" in out
    plan = json.loads((old / "outputs" / "main" / "study.json").read_text())
    assert plan["axes"] == {"optimizer": ["adam", "sgd"], "loss": ["plain", "doubled"]}
    assert len(plan["cells"]) == 4
    hashes = {}
    for path in (old / "outputs" / "main").glob("*-s0-*/record.json"):
        entry = json.loads(path.read_text())
        hashes[entry["levels"]["optimizer"], entry["levels"].get("loss", "plain")] = entry["weights_sha256"]
    assert len(set(hashes.values())) == 4  # it is consumed
    assert "**loss**: " in written(gather.load(old / "outputs" / "main")).read_text()


@pytest.mark.slow
def test_a_new_axis_without_a_neutral_value_would_rename_every_run(copy: Path, old: Path) -> None:
    """The twin: what the neutral value is for."""
    add_axis(copy, neutral=False)
    assert "0 finished, 4 to train" in ablate(copy, old, "seeds=2", "dry_run=true")
