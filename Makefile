PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint clean

# Made again only when the dependencies change.
$(VENV)/installed: pyproject.toml setup.cfg
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m ablate study=demo
	$(BIN)/python -m report outputs/demo
	@echo
	@echo "Look at outputs/demo/report/report.md and outputs/demo/report/figures/curves.png"
	@echo "TensorBoard: $(BIN)/tensorboard --logdir outputs/demo"

test: lint
	$(BIN)/python -m pytest -m 'slow or not slow'

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
