# One command each, from a fresh clone: everything is set up in .venv the first time and reused while the
# dependencies (pyproject.toml, constraints.txt) stand unchanged.

PYTHON ?= python3
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEPS := $(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
RUN := .venv/.ready-run-$(DEPS)
DEV := .venv/.ready-dev-$(DEPS)
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: ready demo test test-all lint format docs bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo      the whole line on scikit-learn's digits -> demo/report.html (under 3 minutes)"
	@echo "make test      the tests;  make test-all  with the slow ones"
	@echo "make lint      ruff and pyright;  make format  ruff's formatter"
	@echo "make docs      the documentation -> docs/_build/html"
	@echo "make bench     the benchmarks"

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(RUN): | .venv/bin/python
	@echo "setting up .venv (the first time takes some minutes)"
	$(PIP) -e '.[train]'
	@rm -f .venv/.ready-run-*; touch $@

$(DEV): | .venv/bin/python
	@echo "setting up .venv for development (the first time takes some minutes)"
	$(PIP) -e '.[dev]'
	@rm -f .venv/.ready-*; touch $@ $(RUN)

ready: $(DEV)

demo: $(RUN)
	.venv/bin/trainmap demo --out demo

test: $(DEV)
	$(ONE_THREAD) .venv/bin/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: $(DEV)
	$(ONE_THREAD) .venv/bin/python -m pytest -n 2 --dist worksteal --timeout 1800

lint: $(DEV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	NODE_OPTIONS=--max-old-space-size=10240 .venv/bin/pyright  # with 4 GB it forgets the frameworks over and over

format: $(DEV)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: $(DEV)
	.venv/bin/sphinx-build -q -W -b html docs docs/_build/html
	@echo docs/_build/html/index.html

bench: $(DEV)
	for bench in benchmarks/*.py; do .venv/bin/python $$bench || exit 1; done

clean:
	rm -rf .venv docs/_build demo
