"""The documentation: it builds, its links and messages exist, its commands are accepted, and its examples hold."""

import argparse
import ast
import doctest
import importlib
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

import ablate
from ablate.commands import arguments, cli
from ablate.config import levels
from ablate.config.schema import AXES, HASHED_GROUPS
from tests.given import ROOT, TINY, python

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TYPED = re.compile(r"^(?:    |\$ )(?:python -m )?ablate\b(.*)$|`(?:python -m )?ablate ([^`\n]+)`", re.MULTILINE)
# What a page writes for a place of the reader's; all else is a word of ablate's.
PLACES = {
    "STUDY": "outputs/STUDY",
    "RUN": "outputs/STUDY/RUN",
    "COMMAND": "status",
    "SUBCOMMAND": "status",
    "NAME": "cifar10",
}


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


# -- the source of the pages ------------------------------------------------------------------


def test_no_line_is_long_but_those_of_tables() -> None:
    for page in DOCS.rglob("*.md"):
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            assert len(line) <= 120 or line.startswith("|"), f"{page}:{number}"


@cache
def templates() -> list[re.Pattern[str]]:
    """Every text that the code can print, with anything where it fills something in."""
    found = []
    for folder in ("ablate", "report"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                texts = [p.value if isinstance(p, ast.Constant) and isinstance(p.value, str) else None for p in parts]
                if sum(len(text or "") for text in texts) >= 10:
                    filled = "".join("\0" if text is None else text for text in texts).strip(" .")
                    found.append(re.compile(".*".join(map(re.escape, filled.split("\0")))))
    return found


def unknown(messages: list[str]) -> list[str]:
    """The messages that no text of the code can be."""
    return [m for m in messages if not any(template.fullmatch(m.strip(" .")) for template in templates())]


def test_every_message_that_the_pitfalls_quote_can_be_printed() -> None:
    quoted = [" ".join(block.split()) for block in blocks((DOCS / "pitfalls.md").read_text(), "text")]
    assert len(quoted) > 30
    assert unknown(quoted) == []


def test_a_message_that_was_reworded_is_found() -> None:
    assert unknown(["larger batches make fewer updates", "bigger batches make fewer updates"]) == [
        "bigger batches make fewer updates"
    ]


def test_every_level_that_a_sentence_names_is_there() -> None:
    pairs = [pair for page in PAGES for pair in re.findall(r"`(\w+)=([a-z\d_,]+)`", page.read_text())]
    named = [(group, level) for group, some in pairs if group in levels.groups() for level in some.split(",")]
    assert len(named) > 5
    for group, level in named:
        assert levels.is_level(group, level), f"{group}={level}"


def test_every_group_and_every_command_has_its_place_in_the_reference() -> None:
    text = "".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    written = set(re.findall(r"^```\{(settings|levels|help)\} (\w+)$", text, re.MULTILINE))
    groups = {("settings", name) for name in (*HASHED_GROUPS, "study")}
    assert written == groups | {("levels", name) for name in (*AXES, "data")} | {
        ("help", name) for name in cli.COMMANDS
    }


# -- commands ---------------------------------------------------------------------------------


def commands() -> list[tuple[str, str]]:
    """(page, the words after `ablate`) of every command of the pages."""
    return [
        (page.name, (match[1] or match[2] or "").strip())
        for page in PAGES
        for match in TYPED.finditer(page.read_text().replace("\\\n", ""))
    ]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the pages' readers have one: pictures, a list of them, and the configuration files that pages show."""
    for split in ("DIR/train", "DIR/val", "OTHER/train", "OTHER/val", "ONE_PIECE"):
        for label, shade in (("cat", 60), ("dog", 200)):
            folder = tmp_path / split / label
            folder.mkdir(parents=True)
            for number in range(60):
                Image.new("RGB", (8, 8 + number % 3), (shade, number, len(split))).save(
                    folder / f"{split.partition('/')[0]}{number}.png"
                )
    listed = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{path.parent.parent.name}"
        for path in tmp_path.glob("DIR/*/*/*")
    ]
    (tmp_path / "list.csv").write_text("\n".join(["file,label,part", *listed]))
    (tmp_path / "FILE").write_bytes(b"weights")
    for page in PAGES:
        for text in blocks(page.read_text(), "yaml"):
            if found := re.match(r"# (conf/\S+)\n", text):
                (tmp_path / found[1]).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / found[1]).write_text(text.partition("\n")[2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


class Parsed(Exception):
    """A subcommand's words have been read, and are not to be carried out."""


def check_words(words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise ValueError for words that ablate refuses: a study is planned, a subcommand's options are parsed."""
    if words and cli.names_a_command(words):
        if words[0] not in cli.COMMANDS:
            raise ValueError(f"there is no command {words[0]}")
        if len(words) == 1:  # its name, in a sentence
            return
        original = argparse.ArgumentParser.parse_intermixed_args

        def parse_only(parser: argparse.ArgumentParser, given: list[str]) -> None:
            original(parser, given)
            raise Parsed

        monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", parse_only)
        try:
            importlib.import_module(f"ablate.commands.{words[0]}").main(words[1:])
        except Parsed:
            return
        except SystemExit as error:
            if error.code:
                raise ValueError(f"{shlex.join(words)} cannot be parsed") from None
    elif any(word.startswith("-") for word in words):
        arguments.settled(words)
        if "--config-dir" in words:
            done = python("-m", "ablate", *words, "dry_run=true", cwd=place)
            if done.returncode:
                raise ValueError(done.stderr)
    elif words:
        # The clusters' plugins are of other environments.
        planned = [word for word in words if not word.startswith(("hydra/launcher=", "hydra.launcher."))]
        assert len(ablate.create_study(planned, root=place / "outputs").plan)


@pytest.mark.slow
def test_every_command_is_accepted(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused, elsewhere = [], 0
    for typed, page in {typed: page for page, typed in commands()}.items():
        words = [PLACES.get(word, word) for word in shlex.split(typed, comments=True)]
        if any("test_share" in word for word in words):
            words = [word.replace("DIR", "ONE_PIECE") for word in words]
        try:
            with monkeypatch.context() as patch:
                check_words(words, place, patch)
        except ValueError as error:
            if "ablate download" in str(error):  # of a data set that is not here
                elsewhere += 1
            else:
                refused.append(f"{page}: ablate {typed}: {error}")
    assert not refused, "\n".join(refused)
    assert len(commands()) - elsewhere > 60


@pytest.mark.slow
@pytest.mark.parametrize("words", ["optimizer=adamm", "optimizer.lrr=1", "report --metrics f1", "statuss", "--nothing"])
def test_a_command_that_is_wrong_is_found(place: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each is another sentence
        check_words(words.split(), place, monkeypatch)


def test_every_file_that_the_readme_names_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in re.findall(r"^\| `(\w+/)`", readme, re.MULTILINE):
        assert (ROOT / folder).is_dir()
    for link in re.findall(r"\]\(([\w/]+\.\w+)[)#]", readme):
        assert (ROOT / link).is_file(), link
    for target in re.findall(r"^    make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


# -- the site ---------------------------------------------------------------------------------


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` does."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        str(target / "doctrees"),
        str(source),
        str(target),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = build(DOCS, tmp_path)
    assert done.returncode == 0, done.stderr
    # The example report's runs and tables are no part of the site, and its page says so.
    found = [path for path in tmp_path.rglob("*.html") if "_static" not in path.parts]
    pages = {str(path.relative_to(tmp_path)): path.read_text() for path in found}
    for page, text in pages.items():
        for link in re.findall(r'href="([^"]+)"', text):
            target, _, anchor = link.partition("#")
            if not re.match(r"\w+:", target):
                path = ((tmp_path / page).parent / target.partition("?")[0]).resolve() if target else tmp_path / page
                assert path.exists(), (page, link)
                if anchor and path.suffix == ".html":
                    assert f'id="{anchor}"' in path.read_text(), (page, link)
    assert "Learning rates tried" not in pages["reference/settings.html"]
    assert "trainer.label_smoothing" in pages["reference/settings.html"]


@pytest.mark.slow
def test_a_dead_link_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text('extensions = ["myst_parser"]\n')
    (tmp_path / "index.md").write_text("# Here\n\n[there](nowhere.md)\n")
    done = build(tmp_path, tmp_path / "html")
    assert done.returncode != 0
    assert "nowhere" in done.stderr


@pytest.mark.slow
def test_every_figure_is_drawn(tmp_path: Path) -> None:
    runpy.run_path(str(DOCS / "figures" / "draw.py"))["main"](tmp_path)
    drawn = {path.name for path in tmp_path.glob("*.svg")}
    assert drawn == {path.name for path in (DOCS / "figures").glob("*.svg")}
    assert drawn == {name for page in PAGES for name in re.findall(r"figures/(\w+\.svg)", page.read_text())}


# -- examples ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_python_examples_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*TINY, "batch_size=b256", "trainer.epochs=1", "trainer.tensorboard=false"]
    ablate.create_study(
        {"optimizer": ["adam", "sgd"], "augment": ["none", "flip_crop"]}, *words, seeds=2, name="first"
    ).run()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for page in PAGES:
        examples = "\n".join(blocks(page.read_text(), "pycon"))
        runner.run(doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0))
    assert runner.summarize().failed == 0
    assert runner.tries > 20
    assert not [page for page in PAGES if blocks(page.read_text(), "python")]  # which nothing would try


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the notebook's own machinery
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(DOCS / "tutorial_notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "outputs" / "notebook" / "report" / "report.html").exists()
