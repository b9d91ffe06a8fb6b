"""`ablate COMMAND`: which words are commands, their help, their facts as JSON, their exit codes."""

import json
import shutil
from pathlib import Path

import pytest

import ablate
from ablate.commands import cli
from ablate.commands.arguments import options_and_settings, refuse_unread
from ablate.commands.reproduce import places
from ablate.config.compose import config_folder
from ablate.config.schema import AXES
from tests.given import ROOT, python

KEPT = ROOT / "tests" / "records" / "released" / "0.1.0"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with outputs/main, a finished study, which is where the commands are given."""
    shutil.copytree(KEPT, tmp_path / "outputs" / "main")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert text.startswith(f"usage: ablate {name}")
    assert len(text.split("\n\n")[1]) > 20  # what it is for
    with pytest.raises(SystemExit) as caught:
        cli.main([name, "--nonsense"])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"], ["backbone=resnet18", "-h"]])
def test_help_is_an_overview_that_fits_the_screen(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) < 80
    assert text.index("usage:") < text.index("Start here") < text.index("backbone: effnet_b0") < text.index("Settings")
    for axis in AXES:
        assert f"\n  {axis}: " in text


def test_help_has_the_levels_that_the_command_brings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "batch_size").mkdir()
    (tmp_path / "batch_size" / "huge.yaml").write_text("size: 4096\n")
    assert cli.main(["--config-dir", str(tmp_path), "--help"]) == 0
    assert "batch_size: b32, b64, b128, b256, b512, b1024, huge" in capsys.readouterr().out


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["--help"])
    text = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"  ablate {name}" in text
        assert f"{name}.py" in {path.name for path in (ROOT / "ablate" / "commands").iterdir()}


@pytest.mark.parametrize(
    ("words", "is_command"),
    [
        (["status"], True), (["nonsense"], True), (["status", "outputs/a=b"], True), (["seeds=3"], False), ([], False),
        (["-m", "backbone=a,b"], False), (["--help"], False), (["+new=1"], False), (["~optimizer"], False),
        (["hydra/launcher=ray"], False),
    ],
)  # fmt: skip
def test_a_first_word_without_an_equals_sign_is_a_command(words: list[str], is_command: bool) -> None:
    assert cli.names_a_command(words) is is_command


def test_no_level_of_an_axis_is_taken_for_a_command() -> None:
    """A sweep's words all have `=`, so a new command cannot change what a sweep means."""
    assert not {path.name for path in config_folder().iterdir()} & set(cli.COMMANDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train"], "training needs no command; write ablate backbone=resnet18,resnet34"),
        (["sweep", "optimizer=adam,sgd"], "training needs no command; write ablate optimizer=adam,sgd"),
        (["backbone", "resnet50"], "with '=', as in ablate backbone=resnet50"),
        (["backbone", "=", "resnet50"], "as in ablate backbone=resnet50"),
        (["model", "resnet18", "optimizer", "Adam"], "as in ablate backbone=resnet18 optimizer=adam"),
        (["backbone:resnet50"], "as in ablate backbone=resnet50"),
        (["demo"], "as in ablate study=demo"),
        (["vit_base_patch16_224"], "as in ablate backbone=vit_base_patch16_224"),
        (["dry_run"], "as in ablate dry_run=true"),
        (["list"], "did you mean ablate ls?"),
        (["delete", "outputs/main"], "did you mean ablate remove outputs/main?"),
        (["resume"], "the same command continues what it has begun"),
        (["outputs"], "ablate report outputs for a study, or ablate inspect outputs for pictures"),
        (["nonsense"], "(commands: status, ls, report"),
        (["50"], "(commands: status, ls, report"),
    ],
)
def test_what_is_no_command_is_answered_by_what_works(
    root: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_help_on_a_command_is_that_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["help", "status"])
    assert capsys.readouterr().out.startswith("usage: ablate status")


def test_a_slip_is_answered_before_hydra_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from ablate.commands import cli; code = cli.main(sys.argv[1:]); "
        "print(code, {'hydra', 'numpy', 'torch', 'timm'} & set(sys.modules))"
    )
    for words in (["lr=0.1"], ["backbone=resnt50"], ["backbone=timm", "backbone.name=resnt50"], ["--dry-run"]):
        assert python("-c", program, *words, cwd=tmp_path).stdout == "2 set()\n"


def test_a_command_that_there_is_not_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["statuss"]) == 2
    assert "there is no command 'statuss'; did you mean status?" in capsys.readouterr().err


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ablate {ablate.__version__}\n"


def test_status_as_facts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "outputs" / "main" / next((root / "outputs" / "main").glob("*-s1-*")).name / "record.json").unlink()
    assert cli.main(["status", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["format"] == 1
    assert facts["counts"] == {"DONE": 3, "not trained": 1}
    assert {run["state"] for run in facts["runs"]} == {"DONE", "not trained"}
    assert facts["seconds_left"] > 0


def test_ls_lists_studies_the_one_that_changed_last_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(KEPT, root / "outputs" / "later")
    plan = root / "outputs" / "later" / "study.json"
    plan.write_text(plan.read_text().replace('"name": "main"', '"name": "later"'))
    assert cli.main(["ls"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["study", "finished"]
    assert [row.split()[0] for row in rows] == ["outputs/later", "outputs/main"]
    assert "4 of 4" in rows[0] and "optimizer (2)" in rows[0]
    (root / "outputs" / "main" / "study.json").write_text("{")
    assert cli.main(["ls", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [study["study"] for study in facts["studies"]] == ["later"]
    assert facts["studies"][0]["best"] == {"optimizer": "sgd"}
    assert facts["studies"][0]["best_accuracy"] == pytest.approx((0.236 + 0.306) / 2)
    assert "study.json" in facts["damaged"][0]


@pytest.mark.usefixtures("no_figures")
def test_report_as_facts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((root / "outputs" / "main" / "report" / "results.json").read_text())
    assert facts["axes"][0]["axis"] == "optimizer"


def test_reproduce_as_facts(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = (root / "outputs" / "main").glob("timm-sgd-*-s0-*")
    code = cli.main(["reproduce", str(run), "--json"])
    out, err = capsys.readouterr()
    (facts,) = json.loads(out)["runs"]
    assert facts["run"] == run.name
    assert code == (0 if facts["identical"] else 1)  # another processor gives other bits
    assert facts["after"][0].startswith("identical" if facts["identical"] else "different")
    assert facts["after"][0] in err  # progress


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["status", "nowhere"], "nowhere is not a folder"),
        (["ls", "nowhere"], "no study in nowhere"),
        (["report", "nowhere"], "nowhere is not a folder"),
        (["reproduce", "nowhere"], "nowhere/record.json cannot be read"),
        (["reproduce", "outputs/main", "--sample", "0"], "--sample must be 1 or more"),
        (["report", "a", "b", "c"], "one study is reported, two are compared"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    root: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"ablate {words[0]}: ")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("-m", "ablate.status"), ("-m", "ablate", "status"), ("-m", "ablate.report"), ("-m", "report")]
)
def test_the_doors_that_were_there_stay(root: Path, words: tuple[str, ...]) -> None:
    done = python(*words, "--help", cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ablate ")


def test_options_may_stand_anywhere() -> None:
    words = ["a=1", "-m", "b=2,3", "--config-dir", "x", "c=4"]
    assert options_and_settings(words) == (["-m", "--config-dir", "x"], ["a=1", "b=2,3", "c=4"])
    assert options_and_settings(["a=1,2"]) == (["--multirun"], ["a=1,2"])
    assert options_and_settings(["a=1", "--cfg", "job"]) == (["--cfg", "job"], ["a=1"])


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("--dry-run", "no option --dry-run; write settings without dashes, as in dry_run=true"),
        ("--optimizer=adam", "as in optimizer=adam"),
        ("--lr=0.1", "as in optimizer.lr=0.1"),
        ("--gpus", "no option --gpus; GPUs are found and used by themselves"),
        ("--config=my.yaml", "--config-dir DIR brings a folder of files"),
        ("--multrun", "did you mean --multirun"),
        ("-x", "no option -x; ablate --help lists the settings, which have no dashes$"),
    ],
)
def test_an_option_that_there_is_not_is_answered_in_one_sentence(word: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        options_and_settings(["optimizer=adam", word])


def test_an_option_takes_the_word_behind_it_as_its_value() -> None:
    with pytest.raises(ValueError, match=r"as in seeds=3$"):
        options_and_settings(["--seeds", "3"])
    with pytest.raises(ValueError, match=r"as in seeds=true$"):
        options_and_settings(["--seeds", "optimizer=adam"])


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("hydra.mode=RUN", "hydra.mode=RUN trains outside of a study"),
        ("hydra/sweeper=basic", "hydra/sweeper=basic trains outside of a study"),
        ("hydra.sweep.dir=x", "hydra.sweep.dir has no effect"),
        ("hydra.run.dir=x", "hydra.run.dir has no effect"),
        ("hydra.job.chdir=true", "hydra.job.chdir has no effect"),
    ],
)
def test_what_hydra_would_do_outside_of_a_study_is_refused(word: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        refuse_unread(["optimizer=adam,sgd", word])
    refuse_unread(
        ["hydra.launcher.partition=main", "hydra/launcher=basic", "hydra.verbose=true", "hydra.mode=MULTIRUN"]
    )


def test_places_are_all_that_reproduce_takes() -> None:
    assert places(["data.path=/a"]) == {"data.path": "/a"}
    with pytest.raises(ValueError, match=r"only data\.path=PATH"):
        places(["optimizer.lr=1"])
