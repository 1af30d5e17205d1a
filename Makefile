# `make help` lists what there is. Everything is installed into .venv beside this file, nothing anywhere else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready
NATIVE := $(foreach kind,h cpp inc c,$(foreach folder,edgemed/native edgemed/native/*/ tests/native,$(wildcard $(folder)/*.$(kind))))

# Every file that is installed has its SHA-256 in a lock file, pip included; nothing is installed that is not there.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := --require-hashes --no-deps

# edgemed gives llama.cpp text only: without its multimodal tools it builds in three quarters of the time.
export CMAKE_ARGS := -DLLAVA_BUILD=OFF $(CMAKE_ARGS)

# Two processes, because tests that wait for a moment fail on a machine that is too busy. A file's tests share models,
# so they stay in one process.
TWO_AT_ONCE := -n 2 --dist loadfile

.PHONY: help setup demo test test-fast search lint format lock docs wheel mini clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: $(READY) ## everything edgemed needs, into .venv (builds llama.cpp: 4 to 10 minutes)

$(READY): pyproject.toml requirements.lock requirements-build.lock CMakeLists.txt tools/check_machine.sh $(filter edgemed/%,$(NATIVE))
	@PYTHON=$(PYTHON) sh tools/check_machine.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV); building llama.cpp the first time takes 4 to 10 minutes."
	@$(PIP) $(LOCKED) -r requirements-build.lock
	@$(PIP) $(LOCKED) --no-build-isolation -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import llama_cpp' 2>/dev/null || PYTHON=$(BIN)/python sh tools/rebuild_llama.sh
	@touch $@

demo: $(READY) ## convert the bundled checkpoint, open the chat on it with fictitious patients
	@$(BIN)/edgemed demo

test: $(READY) ## the whole test suite (about 11 minutes on two cores)
	@$(BIN)/python -m pytest -q $(TWO_AT_ONCE)

test-fast: $(READY) ## a part of every package's tests, in under a minute
	@$(BIN)/python -m pytest -q $(TWO_AT_ONCE) -m 'not slow'

search: $(READY) ## the same with new examples for its property tests, which have the same ones in `test`
	@$(BIN)/python -m pytest -q --hypothesis-profile=search

lint: $(READY) ## ruff, mypy --strict, import contracts, clang-format, C ABI, fresh docs, glossary, lock files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/clang-format --dry-run -Werror $(NATIVE)
	@$(BIN)/python tools/check_c_abi.py
	@$(BIN)/python tools/cli_reference.py --check
	@$(BIN)/python tools/glossary_lint.py
	@$(BIN)/python tools/lock.py --check

format: $(READY) ## rewrite all Python and C++ in the house style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/clang-format -i $(NATIVE)

lock: $(READY) ## resolve pyproject.toml anew and write the lock files (needs uv)
	@$(BIN)/python tools/lock.py

docs: $(READY) ## write docs/cli.md from the commands themselves
	@$(BIN)/python tools/cli_reference.py

wheel: $(READY) ## a wheel in dist/
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

mini: ## train the demonstration model (hours; see recipes/mini/README.md)
	@$(MAKE) -C recipes/mini

clean: ## remove what was built
	rm -rf $(VENV) build dist edgemed/native/libedgemed.so
