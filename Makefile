# vodkit: the developer's whole interface. `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all check ci bench docs docs-pictures dist clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Two processes of one thread each: the numbers do not depend on it, and two cores are shared best.
# One that dies is not begun anew: the tests would wait for it for ever. Bytecode is written, also
# where the environment forbids it: else each of the hundreds of commands would compile vodkit anew.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

# Bytecode is compiled once, here: where Python may not write it, every command would compile torch anew.
$(READY): pyproject.toml constraints.txt tests/oracles.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[dev]' -c constraints.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -r tests/oracles.txt
	@touch $(READY)

setup: $(READY) ## make .venv with vodkit and everything its tests need

demo: $(READY) ## the whole life cycle on real video with the bundled detector; says where to look
	@$(BIN)/vodkit demo

check: $(READY) ## format, lint, types, architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/codespell

test: check ## check, then the fast tests
	@$(PYTEST)

test-all: check ## check, then all tests, the slow ones too
	@$(PYTEST) -m ""

ci: ## what .ci/run calls: the demo, the site, the distribution, and all tests
	@$(MAKE) --no-print-directory --output-sync=target -j 2 demo docs dist check
	@$(PYTEST) -m ""

bench: $(READY) ## measure: ratios side by side in one run, as JSON lines
	@for script in benchmarks/bench_*.py; do echo "# $$script"; $(BIN)/python $$script || exit 1; done

docs: $(READY) ## the documentation site, strict and offline: out/site/index.html
	@PYTHONPATH=src DISABLE_MKDOCS_2_WARNING=true NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --quiet --strict

docs-pictures: $(READY) ## make the pictures of the documentation anew, from the sample clips
	@$(BIN)/python docs/make_pictures.py

dist: $(READY) ## build sdist and wheel, check them, and use the wheel in a fresh environment
	@$(BIN)/python .ci/dist.py

clean: ## forget the environment and everything made
	@rm -rf .venv runs out dist .mypy_cache .ruff_cache .hypothesis
