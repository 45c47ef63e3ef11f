# The only entry point. Everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_FILES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)

.PHONY: demo test lint format bench bench-save bench-compare asan fuzz torture docs dev clean

demo: dev
	$(BIN)/dr-forwarder lab demo

# Much of the time is waiting, so two share the tests, file by file, even on one CPU.
test: dev
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_FILES)

bench: dev
	mkdir -p build
	$(BIN)/python -m bench --short --json build/bench.json --plot build/bench.svg
	$(BIN)/python -m pytest -q bench

# The core's figures: kept for later, and held against those that were kept last; a best round that
# is two fifths slower fails. Nothing else may be running.
CORE_FIGURES := $(BIN)/python -m pytest -q bench --benchmark-storage=bench/saved
bench-save: dev
	$(CORE_FIGURES) --benchmark-save=core
bench-compare: dev
	$(CORE_FIGURES) --benchmark-compare --benchmark-compare-fail=min:40%

# The Python tests of the core once more, with the extension itself under the sanitizers.
asan: dev
	tests/with-sanitizers $(BIN)

# Each fuzz target in turn; what it finds, and keeps, is under build/fuzz.
RUNS ?= 100000
fuzz:
	tests/fuzz/run capture $(RUNS)
	tests/fuzz/run frame $(RUNS)
	tests/fuzz/run sequence $(RUNS)
	tests/fuzz/run sync $(RUNS)

# The director killed, reloaded, flooded and disturbed under 1,000 live connections, in each way it
# can run; about ten minutes, and a table at the end.
torture: dev
	$(BIN)/pytest -q tests/torture/kills.py tests/torture/storms.py tests/torture/floods.py \
	    tests/torture/soak.py

docs: dev
	$(BIN)/python docs/make_reference.py > docs/reference.md
	$(BIN)/python docs/make_api.py > docs/api.md

# Builds what has changed; fast when nothing has.
dev: $(VENV)/installed
	$(BIN)/python setup.py -q build_ext --inplace

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip setuptools cffi
	$(BIN)/pip install -q --no-build-isolation -e '.[test,lint]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info dr_forwarder/*.so
