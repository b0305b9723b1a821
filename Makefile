# Two commands do everything: `make demo` trains and samples, `make test` runs the tests.
# Both set up a virtual environment in .venv first; PYTHON chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test fuzz check format clean

demo: $(VENV)/.installed
	rm -rf runs/demo
	$(BIN)/inkling train digits --out runs/demo
	$(BIN)/inkling sample runs/demo zero one two three four five six seven eight nine
	@echo "look at runs/demo/samples.png, and at runs/demo/samples to see it learn"

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --durations 10

fuzz: $(VENV)/.installed-dev
	INKLING_FUZZ=5000 $(BIN)/python -m pytest -n 2 tests/data/test_fuzz.py tests/data/test_fuzz_bytes.py \
		tests/config/test_fuzz_settings.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
