# make demo        train, evaluate and look at the embedded data set: a few minutes on two cores
# make test        lint and the tests that a change must pass
# make test-all    with the slow tests
# make models      experiments/omniglot/model anew, from Omniglot's archives in the folder OMNIGLOT: eight minutes
# make bench       speed, side by side with a limit or a peer

PYTHON ?= python3
VENV ?= .venv
DEMO ?= runs/demo
OMNIGLOT ?= .
BIN = $(VENV)/bin
# The notebooks are run from top to bottom, as they stand in the repository: one after the other in the first of two
# processes, beside tests in the second.
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

# The evaluator runs beside the training, as it would on a second GPU; what it says comes after the training's lines.
demo: $(VENV)/cpu-installed
	$(BIN)/python -m dataset.prepare.synthetic_vid --out data/synthetic_vid
	@mkdir -p "$(DEMO)" && { test -e "$(DEMO)/params.json" || cp params.json "$(DEMO)/params.json"; }
	@$(BIN)/python evaluate.py --model_dir "$(DEMO)" > "$(DEMO)/evaluate.log" 2>&1 & evaluator=$$!; \
	trap "kill $$evaluator 2>/dev/null" EXIT; \
	$(BIN)/python train.py --model_dir "$(DEMO)" || exit 1; \
	wait $$evaluator || { cat "$(DEMO)/evaluate.log"; exit 1; }
	@cat "$(DEMO)/evaluate.log"
	@echo
	@echo "curves and pictures: $(BIN)/tensorboard --logdir '$(DEMO)'"

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
	$(BIN)/python -m benchmarks.input_pipeline
	$(BIN)/python -m benchmarks.augmentation
	$(BIN)/python -m benchmarks.imagenetvid
	$(BIN)/python -m benchmarks.losses
	$(BIN)/python -m benchmarks.evaluation
	$(BIN)/python -m benchmarks.reranking
	$(BIN)/python -m benchmarks.embed
