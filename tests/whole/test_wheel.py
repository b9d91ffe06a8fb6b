"""The package as others install it: what the wheel holds, and that it works away from any checkout."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.given import ROOT, TINY, python

NOTEBOOK = """
import ablate, os
assert ablate.__file__.startswith({site!r}), ablate.__file__
study = ablate.create_study({{"optimizer": ["adam", "sgd"]}}, *{words!r}, seeds=2)
---
study
---
study = study.run()
---
study
---
study.effects
---
run = study.best
print(run.model().predict(["image.png"]), run.reproduce().identical)
---
ablate.create_study({{"optimizer": "adamm"}})
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what git holds, so that nothing of this checkout's rubble gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in names.stdout.split():
        source, target = ROOT / name, folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.is_file():
            target.write_bytes(source.read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(folder / "source")],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture
def site(wheel: Path, tmp_path: Path) -> Path:
    """A folder of installed packages that holds ours."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    return tmp_path / "site"


def test_the_wheel_holds_every_file_of_the_package_and_nothing_bare(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {n.split("/")[0] for n in names if "dist-info" not in n} == {"ablate", "hydra_plugins"}
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "ablate", "conf", "report", "hydra_plugins"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    ours = {
        n if n.startswith(("ablate/", "hydra_plugins/")) else f"ablate/{n}" for n in tracked if (ROOT / n).is_file()
    }
    assert ours <= names, sorted(ours - names)
    metadata = next(n for n in names if n.endswith("dist-info/METADATA"))
    assert b"\nName: ablate-vision\n" in zipfile.ZipFile(wheel).read(metadata)
    entry_points = next(n for n in names if n.endswith("entry_points.txt"))
    assert b"ablate = ablate.commands.cli:main" in zipfile.ZipFile(wheel).read(entry_points)
    assert b"ablate-report = ablate.report.__main__:main" in zipfile.ZipFile(wheel).read(entry_points)


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(site: Path, tmp_path: Path) -> None:
    words = (*TINY, "trainer.epochs=1", "batch_size=b256", "optimizer=adam,sgd")
    done = python("-m", "ablate", *words, cwd=tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "outputs" / "optimizer").glob("*/record.json"))) == 2
    report = python("-m", "ablate", "report", cwd=tmp_path, PYTHONPATH=str(site))
    assert report.returncode == 0, report.stderr
    assert "2 of 2 runs finished" in report.stdout
    assert python("-c", "import conf", cwd=tmp_path, PYTHONPATH=str(site)).returncode == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
def test_a_notebook_plans_trains_looks_and_predicts(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient
    from PIL import Image

    monkeypatch.setenv("PYTHONPATH", str(site))
    Image.new("RGB", (40, 30)).save(tmp_path / "image.png")
    words = (*TINY, "batch_size=b256", "trainer.epochs=1")
    cells = NOTEBOOK.format(site=str(site), words=words).split("---\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=500, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    planned, trained, answers, effects, used, mistake = (cell.outputs for cell in notebook.cells[1:])
    assert "to train: 4" in planned[0].data["text/html"]
    assert "4 DONE" in "".join(output.get("text", "") for output in trained)
    assert "<h3>optimizer: answers</h3>" in answers[0].data["text/html"]
    assert "estimate" in effects[0].data["text/html"]
    assert "True" in "".join(output.get("text", "") for output in used)
    assert mistake[0].ename == "ValueError"
    assert "did you mean adam?" in mistake[0].evalue


@pytest.mark.slow
def test_a_users_type_checker_sees_the_types(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    (tmp_path / "right.py").write_text(
        "import ablate\n"
        "study: ablate.Study = ablate.create_study({'optimizer': ['adam'], 'seed': 0}, 'backbone=resnet18').run()\n"
        "classes: list[str] = study.best.model().predict(['cat.jpg'])\n"
    )
    (tmp_path / "wrong.py").write_text(
        "import ablate\nablate.load_study(3)\nablate.load_run('x').nothing\nidentical: str = ablate.load_run('x').reproduce().identical\n"
    )
    right, wrong = (
        subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(tmp_path / "venv" / "bin" / "python"), name],
            cwd=tmp_path, capture_output=True, text=True,
        ) for name in ("right.py", "wrong.py")
    )  # fmt: skip
    assert right.returncode == 0, right.stdout + right.stderr
    assert wrong.stdout.count("error:") == 3, wrong.stdout
