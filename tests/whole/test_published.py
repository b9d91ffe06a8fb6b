"""What lies next to the code for those who meet the project elsewhere: its name, its citation, its forms, its CI."""

import os
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

import ablate
from tests.given import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version_and_license() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()  # what the format requires
    assert cited["version"] == ablate.__version__
    assert set(cited["license"]) == set(PROJECT["license"].split(" AND "))


def test_extras_that_name_the_distribution_name_this_one() -> None:
    """The package index has another project called ablate, which `ablate[weights]` would install."""
    assert PROJECT["name"] == "ablate-vision"
    words = [word for extra in PROJECT["optional-dependencies"].values() for word in extra]
    assert [word for word in words if word.startswith("ablate")] == ["ablate-vision[weights,docs]"]


def test_ci_runs_its_script_on_the_first_python_that_is_supported_and_on_a_recent_one() -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["test"]
    assert job["strategy"]["matrix"]["python"][0] == PROJECT["requires-python"].removeprefix(">=")
    supported = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c]
    assert set(job["strategy"]["matrix"]["python"]) <= set(supported)
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


@pytest.mark.parametrize("name", ["bug", "question"])
def test_a_form_asks_for_something(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text())
    assert form["name"] and form["description"]
    asked = [field for field in form["body"] if field.get("validations", {}).get("required")]
    assert asked and len({field["id"] for field in form["body"]}) == len(form["body"])


def made(*words: str) -> str:
    """What make would do, without doing it."""
    command = ["make", "--dry-run", "VENV=/nowhere", *words]
    environment = {"PATH": os.environ["PATH"]}  # without what a make that runs the tests, or CI, was given
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment).stdout


def test_the_demo_installs_what_running_needs_and_says_how_large_that_is_first() -> None:
    lines = made("demo").splitlines()
    (says,) = (i for i, line in enumerate(lines) if "3.2 GB" in line)
    installs = [i for i, line in enumerate(lines) if "pip" in line and " install " in line]
    assert says < installs[0]
    assert [lines[i].rpartition(" ")[2] for i in installs] == ["'.[weights]'"]
    assert "'.[dev]'" in made("lint")


def test_torch_comes_from_another_index_where_one_is_named() -> None:
    lines = [line for line in made("demo", "TORCH_INDEX=file:///some").splitlines() if " install " in line]
    assert "--index-url file:///some torch torchvision" in lines[0]
    assert "--index-url" not in lines[1]
    assert "--index-url" not in made("demo")
