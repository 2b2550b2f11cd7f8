# make demo        render a data set, train, evaluate, draw rankings: three minutes on two cores
# make test        lint, notebooks, and the tests that every change must pass
# make test-all    the slow tests too
# make models      train experiments/omniglot/model again, from Omniglot's archives in the folder OMNIGLOT: eight minutes
# make bench       measure speed, side by side with a limit or a peer

PYTHON ?= python3
VENV ?= .venv
DEMO ?= runs/demo
OMNIGLOT ?= .
BIN = $(VENV)/bin
# Two processes: one runs the notebooks from top to bottom, one after the other, while the other runs tests.
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal --nbmake --nbmake-timeout=600 notebooks tests

.PHONY: setup demo test test-all lint models bench

setup: $(VENV)/cpu-installed

$(VENV)/cpu-installed: requirements_cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "error: Python 3.10 to 3.13 is needed; name one, such as make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements_cpu.txt
	@touch $@

$(VENV)/dev-installed: $(VENV)/cpu-installed requirements_dev.txt requirements_export.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements_dev.txt
	@touch $@

# The evaluator runs alongside the training, as on a second GPU. Its output is printed after that of the training.
demo: $(VENV)/cpu-installed
	$(BIN)/python -m dataset.prepare.synthetic_vid --out data/synthetic_vid
	@mkdir -p "$(DEMO)" && { test -e "$(DEMO)/params.json" || cp params.json "$(DEMO)/params.json"; }
	@$(BIN)/python evaluate.py --model_dir "$(DEMO)" > "$(DEMO)/evaluate.log" 2>&1 & evaluator=$$!; \
	trap "kill $$evaluator 2>/dev/null" EXIT; \
	$(BIN)/python train.py --model_dir "$(DEMO)" || exit 1; \
	wait $$evaluator || { cat "$(DEMO)/evaluate.log"; exit 1; }
	@cat "$(DEMO)/evaluate.log"
	$(BIN)/python visualize.py rankings --model_dir "$(DEMO)"
	@echo
	@echo "Queries and their nearest images: open $(DEMO)/pictures/rankings.html in a browser."
	@echo "Curves: $(BIN)/tensorboard --logdir '$(DEMO)', then open http://localhost:6006."

models: $(VENV)/cpu-installed
	$(BIN)/python -m dataset.prepare.omniglot --background "$(OMNIGLOT)/images_background.zip" \
		--evaluation "$(OMNIGLOT)/images_evaluation.zip" --out data/omniglot
	$(BIN)/python train.py --model_dir experiments/omniglot
	$(BIN)/python evaluate.py --model_dir experiments/omniglot
	$(BIN)/python export.py --model_dir experiments/omniglot --format keras --checkpoint best --out experiments/omniglot/model

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python tests/phrases.py
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

$(VENV)/bench-installed: $(VENV)/dev-installed benchmarks/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

bench: $(VENV)/bench-installed
	$(BIN)/python -m benchmarks
