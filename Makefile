# Everything runs in .venv, which is made when a target needs it, and again when pyproject.toml or constraints.txt change.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DATA ?= digits
# Two processes with a thread each: with more they would wait for one another.
TWO := OMP_NUM_THREADS=1 $(BIN)/python

.PHONY: help demo test slow theory theory-smoke bench bench-cuda lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    train a small network on handwritten digits and draw what became zero"
	@echo "make test    run the tests, without the slow ones"
	@echo "make slow    run the slow tests"
	@echo "make theory  test the theorems on runs and write docs/theory.md (under 20 minutes on 2 cores)"
	@echo "make theory-smoke   the same with few and short runs, into runs/theory-smoke (under 2 minutes)"
	@echo "make bench   time optimizers and solvers: docs/benchmarks.md, docs/benchmarks-solvers.md (half an hour)"
	@echo "make bench-cuda     test the kernels on a CUDA device and time the optimizers there: docs/benchmarks-cuda.md"
	@echo "make lint    check style and types: ruff, mypy, pyright"
	@echo "make clean   remove .venv, build output and caches (not runs/)"
	@echo "More real data (OPTKIT_DATA or downloaded): make theory DATA=\"digits a9a mnist\""
	@echo "Published implementations beside ours: make bench REFERENCE=\"../ramda_exp ../RAMDA\""
	@echo "Another interpreter than python3 (3.11 or newer): make PYTHON=python3.12 ..."

demo: $(INSTALLED)
	$(BIN)/optkit run digits

test: $(INSTALLED)
	$(TWO) -m pytest -n 2

slow: $(INSTALLED)
	$(TWO) -m pytest -n 2 -m slow

theory: $(INSTALLED)
	$(BIN)/optkit theory --data $(DATA) --markdown docs/theory.md

theory-smoke: $(INSTALLED)
	$(BIN)/optkit theory --smoke --out runs/theory-smoke

bench: $(INSTALLED)
	$(BIN)/optkit bench --tables steps published scaling memory training nuclear --markdown docs/benchmarks.md \
	  $(if $(REFERENCE),--reference $(REFERENCE))
	$(BIN)/optkit bench --tables solvers --markdown docs/benchmarks-solvers.md

bench-cuda: $(INSTALLED)
	@$(BIN)/python -c "import sys, torch; sys.exit(None if torch.cuda.is_available() else \
	  'make bench-cuda needs a CUDA device, and torch finds none here')"
	$(BIN)/python -m pytest tests/test_kernels_triton.py
	$(BIN)/optkit bench --device cuda --markdown docs/benchmarks-cuda.md

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

clean:
	rm -rf .venv build dist .benchmarks .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path "./runs/*" -prune -exec rm -rf {} +

# The stamp is there only between complete installations: without it .venv is made anew, with it only brought up to date.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null \
	  || { echo "optkit needs Python 3.11 or newer, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@rm -f $@
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch $@
