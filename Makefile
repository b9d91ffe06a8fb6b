PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-gpu test-cluster lint docs clean

# Made again only when the dependencies change.
$(VENV)/installed: pyproject.toml setup.cfg
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m ablate study=demo
	$(BIN)/python -m report outputs/demo
	@echo
	@echo "Look at outputs/demo/report/report.html, or the same as report.md"
	@echo "TensorBoard: $(BIN)/tensorboard --logdir outputs/demo"

test: lint
	$(BIN)/python -m pytest -m 'not cluster and not gpu'

# On an NVIDIA GPU.
test-gpu: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses=0 -m gpu tests/train/test_gpu.py

# On a real Slurm, which needs root on a Debian, and a real Ray. Each has an environment of its own, as the two extras
# do not go together. Takes about 15 minutes.
test-cluster: $(VENV)/installed $(VENV)-slurm/installed $(VENV)-ray/installed
	ABLATE_SLURM_PYTHON=$(abspath $(VENV)-slurm/bin/python) ABLATE_RAY_PYTHON=$(abspath $(VENV)-ray/bin/python) \
		$(BIN)/python -m pytest --numprocesses=0 -m cluster tests/launch/test_cluster.py

$(VENV)-%/installed: pyproject.toml setup.cfg
	test -x $(VENV)-$*/bin/python || $(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The site, as tests/whole/test_docs.py builds it.
docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build
	@echo "Look at docs/_build/index.html"

clean:
	rm -rf $(VENV) $(VENV)-slurm $(VENV)-ray build dist docs/_build *.egg-info
