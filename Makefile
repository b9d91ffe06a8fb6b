PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Where torch comes from, if not from the package index; https://download.pytorch.org/whl/cpu has it without CUDA.
TORCH_INDEX ?=

.PHONY: demo test test-gpu test-cluster lint docs clean

# What running needs. Made again only when the dependencies change.
$(VENV)/installed: pyproject.toml setup.cfg
	@echo "Installing into $(VENV), once, which takes minutes. On Linux the usual torch brings NVIDIA's CUDA libraries:"
	@echo "3.2 GB to download, 6 GB on disk. Without a GPU, 0.4 GB and 1.4 GB are enough:"
	@echo "    make $(MAKECMDGOALS) TORCH_INDEX=https://download.pytorch.org/whl/cpu"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) install --index-url $(TORCH_INDEX) torch torchvision)
	$(PIP) install --editable '.[weights]'
	touch $@

# What development needs too.
$(VENV)/developed: $(VENV)/installed
	$(PIP) install --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	@echo "Training 80 short runs (conf/study/demo.yaml). Ctrl-C interrupts them, and the same command continues."
	$(BIN)/python -m ablate study=demo
	@echo "Writing the report …"
	@$(BIN)/python -m report outputs/demo
	@echo
	@echo "Next, for example:"
	@echo "    $(BIN)/ablate study=demo head=linear,mlp512               # one axis more: the finished runs are kept"
	@echo "    $(BIN)/ablate backbone=resnet10t,resnet18 seeds=3 dry_run=true   # plan a study of your own"
	@echo "    $(BIN)/ablate inspect DIR                                 # see how it would read your own pictures"

test: lint
	$(BIN)/python -m pytest -m 'not cluster and not gpu'

# On an NVIDIA GPU.
test-gpu: $(VENV)/developed
	$(BIN)/python -m pytest --numprocesses=0 -m gpu tests/train/test_gpu.py

# On a real Slurm, which needs root on a Debian, and a real Ray. Each has an environment of its own, as the two extras
# do not go together. Takes about 15 minutes.
test-cluster: $(VENV)/developed $(VENV)-slurm/installed $(VENV)-ray/installed
	ABLATE_SLURM_PYTHON=$(abspath $(VENV)-slurm/bin/python) ABLATE_RAY_PYTHON=$(abspath $(VENV)-ray/bin/python) \
		$(BIN)/python -m pytest --numprocesses=0 -m cluster tests/launch/test_cluster.py

$(VENV)-%/installed: pyproject.toml setup.cfg
	test -x $(VENV)-$*/bin/python || $(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

lint: $(VENV)/developed
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
