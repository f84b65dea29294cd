# make demo: the whole job in a few minutes.  make test: the tests, a few minutes.
# make thorough: repetitions and long variants.  make nightly: the longest of them, and make soak.
# make soak: a search killed a hundred times, a quarter of an hour.  make lint: style and types.
# make graph: packages and who imports whom.  make recipes-page: the tables of docs/recipes.md, from the fields.
# PYTHON chooses the interpreter of the virtual environment (3.11 or newer).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test thorough nightly soak lint graph recipes-page format clean help

help:
	@sed -n 's/^# //p' Makefile

# Made anew when what it was made from changes.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
		echo "make: no virtual environment could be made; Debian and Ubuntu need: apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/nas search --name demo --steps 200 --executor processes --workers 2
	$(BIN)/nas retrain demo --top 1 --steps 600
	$(BIN)/nas board demo --site runs/demo/site

test: $(STAMP)
	$(BIN)/python -m pytest -n 2

thorough: $(STAMP)
	$(BIN)/python -m pytest -m "thorough and not nightly" -n 2

nightly: soak
	$(BIN)/python -m pytest -m nightly -n 2

soak: $(STAMP)
	PARETOSR_SOAK=100 $(BIN)/python -m pytest -m thorough tests/nas/search/test_soak.py

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

graph: $(STAMP)
	$(BIN)/python tests/package_graph.py

recipes-page: $(STAMP)
	$(BIN)/python tests/recipes_page.py

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
