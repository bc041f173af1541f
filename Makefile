# Two commands do everything on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
DRN := $(VENV)/bin/drn
DEMO := build/demo

.PHONY: demo test lint docs clean

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet -e '.[all]'
	touch $@

$(VENV)/.tested: $(VENV)/.installed tests/constraints.txt
	$(VENV)/bin/pip install --quiet -e '.[all,test]' -c tests/constraints.txt
	touch $@

# The main job end to end on the simulated shop: a log to a net that is compared with every rule, and asked.
demo: $(VENV)/.installed
	rm -rf $(DEMO)
	$(DRN) simulate -o $(DEMO)/log --sessions 100000 --seed 1
	$(DRN) fit $(DEMO)/log/events.parquet -o $(DEMO)/shop --name shop
	$(DRN) recommend $(DEMO)/shop --session "home:5,cat-1:20,item-12:90,item-15:40" --bought item-3 --items $(DEMO)/log/items.csv --items-only

test: $(VENV)/.tested
	$(VENV)/bin/pytest -n 2

lint: $(VENV)/.tested
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The documentation, in build/site.
docs: $(VENV)/.tested
	$(VENV)/bin/mkdocs build --strict

clean:
	rm -rf $(VENV) build
