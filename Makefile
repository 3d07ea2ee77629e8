# Everything happens in .venv, which is made here; nothing is needed but Python 3.10 or newer.
# `make help` lists what there is. PYTHON=python3.12 picks another Python for a new .venv.

PYTHON ?= python3
# --no-compile halves the time: Python compiles by itself the few files that are imported.
PIP = .venv/bin/python -m pip install --quiet --no-compile -c constraints.txt
# What the light commands import is compiled here, so that they start at once from the first time on.
LIGHT = annotated_types click pydantic pydantic_core typing_extensions.py typing_inspection yaml
COMPILE = .venv/bin/python -m compileall -q src $(addprefix .venv/lib/python3*/site-packages/,$(LIGHT))
# It warns of its own text when it is compiled; in the tests a warning is an error.
COMPILE_WARNING = .venv/bin/python -W ignore -m compileall -q .venv/lib/python3*/site-packages/torchao
PYTEST = .venv/bin/python -m pytest -n 2 --dist worksteal

.DEFAULT_GOAL := install
.PHONY: install quickstart test test-fast browser lint format docs site support bench clean help

install: .venv/.dev  ## make .venv with the tool and what its tests need (also plain `make`)

quickstart: .venv/.installed  ## fine-tune a small model on the CPU and ask it three questions
	.venv/bin/python examples/quickstart/run.py

test: .venv/.dev  ## every test that this machine can run, the slow ones too
	$(PYTEST) -m "not gpu and not network"

test-fast: .venv/.dev  ## the tests that take seconds
	$(PYTEST) -m "not slow and not gpu and not network"

# Nothing is done where one is there. Elsewhere than on Debian or Ubuntu, or without root, it has to be
# installed by hand; until then the tests that need it are skipped, and fail where CI is set.
browser:  ## install Chromium, in which the tests look at pages
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; done; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else \
		echo "no Chromium, and no way to install it from here: as root, apt-get install chromium" >&2; exit 1; \
	fi

lint: .venv/.dev  ## style, types and the order of imports
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/lint-imports

format: .venv/.dev  ## mend what ruff can mend by itself
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: .venv/.dev  ## write the generated pages of docs/ anew
	.venv/bin/python docs/generate.py
	.venv/bin/python docs/dataset_types.py
	.venv/bin/python docs/optimizers.py
	.venv/bin/python docs/support.py

# With --quiet, mkdocs would let warnings pass. The variable keeps the theme from advertising its successor.
site: .venv/.dev  ## build the documentation site into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

support: .venv/.dev  ## run every cell of the table of architectures and write docs/support.md anew
	.venv/bin/python -m tests.support.run
	.venv/bin/python docs/support.py

bench: .venv/.dev  ## measure every benchmark against its plain way
	.venv/bin/python benchmarks/run.py

clean:  ## remove .venv, caches and what the quick start wrote
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist site
	rm -rf runs/quickstart-* last_run_prepared src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile | expand -t 14

# pip is the last thing that venv puts in place, so it stands for a whole .venv.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP) -e '.[gguf]'
	$(COMPILE)
	touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP) -e '.[gguf,dev]'
	$(COMPILE)
	$(COMPILE_WARNING)
	touch .venv/.installed $@
