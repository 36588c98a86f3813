# Two commands: `make conformance` judges, `make test` tests the project itself.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: conformance test vectors clean

conformance: .venv/ready
	$(BIN)/python -m tuned_contrastive.conformance all

test: .venv/ready .pkg/tuned_contrastive
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q

vectors: .venv/ready
	$(BIN)/python -m tuned_contrastive.reference.make_vectors

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# mypy sees the package under its name through this view of the root.
.pkg/tuned_contrastive:
	mkdir -p .pkg
	ln -sfn .. $@

clean:
	rm -rf .venv .pkg build dist *.egg-info
