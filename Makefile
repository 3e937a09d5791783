# Each target does all of its own set-up; a second call finds it done.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# quiet twice: errors alone, not what pip thinks of its own settings
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt
PROMPT ?= a photo of a red apple and a blue car
ARGS   ?=
# Processes of make test, each of one thread
TESTS  ?= 2
# Of make dist: the tag that a release is made from, such as v0.3.0
TAG    ?=
# Of make test-install: names, versions or paths
PYTHONS ?= $(PYTHON)
INPUTS := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-install lint docs notebooks bench dist clean

help: ## show this list
	@echo "make TARGET  (PYTHON=python3.12 chooses the Python, VENV=folder the environment)"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run.stamp ## sample one prompt with the embedded model: PROMPT="...", ARGS="particles=16 seed=1"
	@echo "loading the embedded model, then drawing: $$PROMPT"
	@$(BIN)/glass sample prompt="$$PROMPT" wandb.mode=disabled $(ARGS)
	@echo "The pictures are in $$(ls -td outputs/*/*/ | head -n 1)"

test: $(VENV)/.dev.stamp ## run the tests, in TESTS=2 processes; ARGS="-k word" chooses some
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TESTS) -rs $(ARGS)

test-slow: $(VENV)/.dev.stamp ## run the tests, the slow ones too
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TESTS) -rs -m "" $(ARGS)

test-install: $(VENV)/.dev.stamp ## install wheel and sdist afresh and run them: PYTHONS="python3.10 3.13"
	@$(BIN)/python tests/install.py $(PYTHONS)

lint: $(VENV)/.dev.stamp ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.run.stamp ## measure speed, memory and accuracy
	@$(BIN)/python -m glass_cli.bench $(ARGS)

docs: $(VENV)/.dev.stamp ## build the documentation into build/site; a broken link or a missing docstring fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "The documentation is in build/site; open build/site/index.html"

notebooks: $(VENV)/.dev.stamp ## run the notebooks again and save them with what they print
	@OMP_NUM_THREADS=1 $(BIN)/python docs/hooks/run_notebooks.py

dist: $(VENV)/.dev.stamp ## build the wheel and the source distribution into dist
	@$(BIN)/python -c 'import sys, glass_cli; v, tag = glass_cli.__version__, "$(TAG)".lstrip("v"); \
		sys.exit(f"the tag is {tag}, the version {v}" if tag not in ("", v) else 0)'
	@rm -rf dist
	@$(BIN)/python -m build --outdir dist

clean: ## remove the environment and caches; outputs/ stays
	rm -rf "$(VENV)" build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

export PROMPT

$(BIN)/python:
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "glass needs Python 3.10 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv "$(VENV)"

# torch goes first and alone: the pinned version is then met by whatever build is at hand, so that
# a machine with the CPU build on disk never fetches the CUDA one.
$(VENV)/.torch.stamp: constraints.txt | $(BIN)/python
	@echo "installing torch"
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.run.stamp: $(INPUTS) $(VENV)/.torch.stamp
	@echo "installing glass, which takes some minutes the first time"
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev.stamp: $(INPUTS) $(VENV)/.torch.stamp
	@echo "installing glass and what its tests need"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.run.stamp
