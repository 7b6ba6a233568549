PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
DEMO := demo

.PHONY: demo test lint evidence install clean help

help: ## these lines
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.installed: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

install: $(VENV)/.installed ## make .venv and install the package with its tools

demo: install ## choose views for the bundled images, and say where the page is
	$(RUN)goodviews choose --data factors --budget quick --out $(DEMO)

test: install ## lint, types, import contracts, tests, doctests and the README's commands
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)lint-imports
	OMP_NUM_THREADS=1 $(RUN)python -m pytest -n 2 --dist loadfile

lint: install ## ruff, mypy and the import contracts only
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)lint-imports

evidence: install ## the long runs behind docs/results (needs GOODVIEWS_DATA)
	$(RUN)python benchmarks/evidence.py

clean: ## remove what demo made
	rm -rf $(DEMO)
