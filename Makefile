# Two commands do everything: `make demo` trains and samples, `make test` runs the tests.
# Both set up a virtual environment in .venv first; PYTHON chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test fuzz check format package docs clean

demo: $(VENV)/.installed
	rm -rf runs/demo
	$(BIN)/inkling train digits --out runs/demo
	$(BIN)/inkling sample runs/demo zero one two three four five six seven eight nine
	@echo "Look at runs/demo/samples.png, and at runs/demo/samples to see it learn. In this shell, try next:"
	@echo "  $(BIN)/inkling sample runs/demo seven --count 20"
	@echo "or activate the environment first, and leave the path away:"
	@echo "  . $(BIN)/activate"

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

package: $(VENV)/.installed-dev
	rm -rf build dist
	$(BIN)/python -m build --quiet --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m pip install --quiet --no-deps --target build/installed dist/*.whl
	cd build && PYTHONPATH=installed ../$(BIN)/python -m inkling train digits --steps 2 --out trial
	cd build && PYTHONPATH=installed ../$(BIN)/python -m inkling sample trial seven --count 1

docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NOTEBOOKS=cache $(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/site
	@echo "open build/site/index.html"

clean:
	rm -rf $(VENV) build dist docs/reference docs/jupyter_execute docs/course/runs .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
