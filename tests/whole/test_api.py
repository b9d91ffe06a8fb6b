"""The public Python API: `import ablate`."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ablate
from ablate.config.compose import config_folder, read_config
from ablate.data.datasets import load
from tests.given import ROOT, TINY, python

SHORT = (*TINY, "batch_size=b256", "trainer.epochs=1", "trainer.tensorboard=false")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ablate.Study:
    """Two runs, trained by the API, in a process whose folder is elsewhere."""
    root = tmp_path_factory.mktemp("api")
    return ablate.create_study({"optimizer": ["adam", "sgd"]}, *SHORT, name="two", root=root / "kept here").run()


# -- names ------------------------------------------------------------------------------------


def test_no_public_name_is_a_modules() -> None:
    """Else `ablate.NAME` would turn into the module with the first import of it."""
    modules = {module.name for module in pkgutil.iter_modules(ablate.__path__)}
    assert {"run", "report", "status", "api"} <= modules
    assert not modules & set(ablate.__all__)
    for name in ablate.__all__:
        assert getattr(ablate, name) is not None
    assert set(ablate.__all__) <= set(dir(ablate))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ablate.nothing  # type: ignore[attr-defined]


def test_importing_it_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = "[m for m in ('torch', 'timm', 'hydra', 'pandas', 'scipy', 'matplotlib') if m in sys.modules]"
    assert python("-c", f"import sys, ablate; print({heavy})", cwd=tmp_path).stdout.strip() == "[]"
    plans = f"import sys, ablate; ablate.create_study({SHORT!r}).plan; print('torch' in sys.modules)"
    assert python("-c", plans, cwd=tmp_path).stdout.strip() == "False"


# -- planning ---------------------------------------------------------------------------------


def test_creating_a_study_only_plans_what_the_command_would(tmp_path: Path) -> None:
    axes: dict[str, Any] = {"optimizer": ["adam", "sgd"], "optimizer.lr": [0.1, 0.01], "trainer.epochs": 2}
    planned = ablate.create_study(axes, *TINY, seeds=2, root=tmp_path / "a b")
    assert list(planned.plan.columns) == ["optimizer", "optimizer.lr", "seed", "state", "signature", "folder"]
    assert len(planned.plan) == 8
    assert set(planned.plan["state"]) == {"not trained"}
    assert not (tmp_path / "a b").exists()
    assert "8 runs, 8 to train" in repr(planned)
    assert "smallest difference detected with 80 % power" in planned.preview()
    command = f"cd / && {planned.command} dry_run=true".replace("python", sys.executable, 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.stdout.startswith("study ") and done.stdout.endswith(f"\n{planned.preview()}\n"), done.stderr
    words = ["optimizer=adam,sgd", "optimizer.lr=0.1,0.01", "trainer.epochs=2", *TINY, f"study.root='{tmp_path}/a b'"]
    assert ablate.create_study(words, seeds=[0, 1]).plan.equals(planned.plan)
    assert ablate.create_study(words, seeds=[5]).plan["seed"].unique().tolist() == [5]


def test_a_preset_and_a_single_word_are_overrides_too() -> None:
    assert len(ablate.create_study("optimizer=adam,sgd").plan) == 2
    text = (config_folder() / "study" / "demo.yaml").read_text()
    promised = re.search(r"(\d+) runs", text)
    assert promised is not None
    assert len(ablate.create_study("study=demo").plan) == int(promised[1])


@pytest.mark.parametrize(
    ("axes", "more", "sentence"),
    [
        ({"optimizer": ["adamm"]}, {}, r"^optimizer=adamm: no such level; did you mean adam\?"),
        ({"optimzer": ["adam"]}, {}, "did you mean optimizer"),
        ({"optimizer": []}, {}, "^optimizer has no level"),
        ({"optimizer.lr": ["fast"]}, {}, "optimizer.lr=fast must be a number"),
        ({"data": "folder", "data.path": "no where, or elsewhere"}, {}, r"data\.path=\S*/no where, or elsewhere is not a folder"),
        (["optimizer=adam", "optimizer=sgd"], {}, "optimizer is given twice"),
        (["seed=0,1"], {"seeds": 2}, "not both"),
        (["optimizer=adam,"], {}, "^optimizer=adam, ends in a comma"),
        ({"backbone": "resnet18"}, {"name": "a/b"}, "study.name='a/b' may hold"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(axes: Any, more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        ablate.create_study(axes, **more)
    assert "\n" not in str(caught.value)


# -- what is on disk --------------------------------------------------------------------------


def test_a_study_is_frames_answers_and_a_report(trained: ablate.Study) -> None:
    study = ablate.load_study(trained.folder)
    assert study.name == "two"
    assert repr(study) == f"<Study {trained.folder}: 2 DONE>"
    assert study.runs["optimizer"].tolist() == ["adam", "sgd"]
    assert len(study.epochs) == 2
    assert study.effects["axis"].tolist() == ["optimizer"]
    path = study.report()
    assert path == trained.folder / "report" / "report.md"
    shown = study._repr_html_()
    answer = study._analysis.effects.axes[0]
    assert "<h3>two: answers</h3>" in shown
    assert str(answer.verdict) in path.read_text()
    assert answer.headline is None or '<svg class="interval"' in shown
    assert "href=" not in shown  # what a link would lead to is not there


def test_names_are_inert_in_a_notebook(tmp_path: Path) -> None:
    from tests.report.made_up import HOSTILE, make

    runs = [({"alpha": level, "beta": b}, seed, "DONE", 0.5) for level in HOSTILE for b in "12" for seed in (0, 1)]
    shown = ablate.load_study(make(tmp_path, runs))._repr_html_()
    assert "<script" not in shown
    assert "alpha" in shown


def test_a_study_that_compares_nothing_shows_what_it_has(tmp_path: Path) -> None:
    from tests.report.made_up import make

    study = ablate.load_study(make(tmp_path, [({"alpha": "x"}, 0, "missing", 0.0)]))
    assert "train what is missing" in study._repr_html_()
    with pytest.raises(ValueError, match=r"no run of .* has finished"):
        _ = study.best
    with pytest.raises(ValueError, match="holds no study"):
        ablate.load_study(tmp_path.parent)


def test_the_best_runs_model_predicts_as_the_run_did(trained: ablate.Study) -> None:
    best = trained.best
    assert best.record.metrics["holdout_accuracy"] == trained.runs["holdout_accuracy"].max()
    model = best.model()
    images = load(read_config(best.folder / "config.yaml").data)
    assert model.class_names == images.classes
    found = model.probabilities(list(images.test_images))
    with np.load(best.folder / "predictions.npz") as predictions:
        logits, labels = predictions["logits"].astype(np.float64), predictions["labels"]
    then = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(found, then / then.sum(1, keepdims=True), atol=5e-3)  # half a float16's digits
    assert (found.argmax(1) == labels).mean() == pytest.approx(best.record.metrics["test_accuracy"])
    assert model.predict([images.test_images[0]]) == [images.classes[found[0].argmax()]]


def test_an_image_is_prepared_as_a_data_sets_files_are(trained: ablate.Study, tmp_path: Path) -> None:
    from PIL import Image

    from ablate.data.pictures.decode import Decoding, decode

    model = trained.best.model()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.png")
    expected = decode(tmp_path / "a.png", Decoding(32)).transpose(2, 0, 1)
    for image in (tmp_path / "a.png", str(tmp_path / "a.png"), picture, np.asarray(picture)):
        assert (model.preprocess([image])[0].numpy() == expected).all()
    (tmp_path / "b.png").write_text("no image")
    for wrong, sentence in ((tmp_path / "b.png", "b.png is not a picture in a supported format"), (tmp_path / "c.png", "c.png cannot be read"),
                            (np.zeros((3, 8, 8), np.uint8), r"must be \(H, W, 3\) of uint8"),
                            (np.zeros((8, 8, 3)), "of float64")):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            model.preprocess([wrong])


def test_a_run_without_weights_says_how_to_keep_them(trained: ablate.Study) -> None:
    other = next(row.folder for row in trained.runs.itertuples() if row.folder != trained.best.folder.name)
    run = ablate.load_run(trained.folder / other)
    assert repr(run).endswith(": DONE>")
    with pytest.raises(ValueError, match=r"kept no weights; trainer\.keep_weights=all"):
        run.model()
    with pytest.raises(ValueError, match=r"record\.json cannot be read"):
        ablate.load_run(trained.folder)


def test_damaged_weights_are_named(trained: ablate.Study, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(trained.best.folder, tmp_path / "run"))
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be used") as caught:
        ablate.load_run(copy).model()
    assert "\n" not in str(caught.value)


def test_a_run_is_reproduced(trained: ablate.Study, capsys: pytest.CaptureFixture[str]) -> None:
    found = trained.best.reproduce()
    assert found.identical
    assert "identical" in capsys.readouterr().out


@pytest.mark.slow
def test_other_launchers_train_it_too(tmp_path: Path) -> None:
    study = ablate.create_study({"seed": [0, 1]}, *SHORT, "hydra/launcher=basic", root=tmp_path).run()
    assert study.runs["state"].tolist() == ["DONE", "DONE"]
