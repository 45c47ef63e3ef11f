# The only entry point. Everything is installed into .venv, and for each target only what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip -q --disable-pip-version-check install
C_FILES = $(shell find csrc tests -name '*.[ch]' ! -path 'csrc/_*')

.PHONY: demo test test-fresh test-packages lint format bench bench-save bench-compare asan fuzz docs
.PHONY: dev core torture hour clean

demo: core
	@$(BIN)/dr-forwarder lab demo

# Much of the time is waiting, so two share the tests, file by file, even on one CPU.
test: core $(VENV)/test
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# What some tests need of Debian; without it they are skipped and say so.
test-packages:
	.ci/install-packages

# `make demo` and `make test` on new systems, each made with no more than the README asks for.
# FRESH='--system debian-13 --user user' chooses; FRESH=--help says more.
test-fresh:
	$(PYTHON) tests/fresh $(FRESH)

lint: $(VENV)/dev $(VENV)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

format: $(VENV)/lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(C_FILES)

bench: core $(VENV)/test
	mkdir -p build
	$(BIN)/python -m bench --short --json build/bench.json --plot build/bench.svg
	$(BIN)/python -m pytest -q bench

# The core's figures: kept for later, and held against those that were kept last; a best round that
# is two fifths slower fails. Nothing else may be running.
CORE_FIGURES := $(BIN)/python -m pytest -q bench --benchmark-storage=bench/saved
bench-save: core $(VENV)/test
	$(CORE_FIGURES) --benchmark-save=core
bench-compare: core $(VENV)/test
	$(CORE_FIGURES) --benchmark-compare --benchmark-compare-fail=min:40%

# The Python tests of the core once more, with the extension itself under the sanitizers.
asan: core $(VENV)/test
	tests/with-sanitizers $(BIN)

# Each fuzz target in turn; what it finds, and keeps, is under build/fuzz.
RUNS ?= 100000
fuzz:
	tests/fuzz/run capture $(RUNS)
	tests/fuzz/run frame $(RUNS)
	tests/fuzz/run sequence $(RUNS)
	tests/fuzz/run state $(RUNS)
	tests/fuzz/run sync $(RUNS)

# The director killed, reloaded, flooded and disturbed under 1,000 live connections, in each way it
# can run; about ten minutes, and a table at the end.
torture: core $(VENV)/test
	$(BIN)/pytest -q tests/torture/kills.py tests/torture/storms.py tests/torture/floods.py \
	    tests/torture/network.py tests/torture/soak.py

# Floods, hostile servers and clients, changes, kills and a network that comes and goes, all at once
# beside connections that must live on. A table at the end says what held, the status whether all.
MINUTES ?= 60
hour: core $(VENV)/test
	$(BIN)/python tests/torture/hour.py --minutes $(MINUTES)

docs: dev
	$(BIN)/python docs/make_reference.py > docs/reference.md
	$(BIN)/python docs/make_api.py > docs/api.md

# All that the commands can use, the libraries of single checks and the live screen too.
dev: core $(VENV)/dev

# Compiles what has changed; fast when nothing has.
core: $(VENV)/package
	@test -e dr_forwarder/_dataplane.abi3.so || echo "Compiling the core, about 20 seconds ..."
	@$(BIN)/python setup.py -q build_ext --inplace

# The package without its core, which is compiled where it can be seen, and once.
$(VENV)/package: pyproject.toml setup.py
	@echo "Making $(VENV), where everything goes ..."
	@$(PYTHON) -m venv $(VENV)
	@echo "Installing the libraries that it needs, about 20 seconds ..."
	@$(INSTALL) 'setuptools>=77' 'cffi>=1.17'
	@DR_WITHOUT_CORE=1 PYTHONWARNINGS='ignore:Editable installation' \
	    $(INSTALL) --no-build-isolation -e .
	@touch $@

# An extra of the package that is there already, so pip brings only what the extra names.
$(VENV)/dev: EXTRA = checks,look
$(VENV)/test: EXTRA = test
$(VENV)/lint: EXTRA = lint
$(VENV)/dev $(VENV)/test $(VENV)/lint: $(VENV)/package
	@echo "Installing the libraries for: $(EXTRA) ..."
	@$(INSTALL) 'dr-forwarder[$(EXTRA)]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info dr_forwarder/*.so
