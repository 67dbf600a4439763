# Everything runs in one virtual environment, .venv: made when it is missing, and made anew when
# requirements.lock changes or the checkout has moved.
# The lock belongs to the checkout's root; `make lock` rewrites it after pyproject.toml has changed.

PYTHON ?= python3
BIN := .venv/bin
# Two test processes, each on one thread; a file's tests stay together, for what they share.
WORKERS := --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo check test long lint gpu wheels notebooks figures lab lock clean venv new-venv

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: venv ## Run the whole pipeline on the generated benchmark, into runs/demo only
	$(BIN)/emolib run --preset demo

check: lint ## The quick check: format, lint, types and unit tests
	@$(BIN)/python -m pytest $(WORKERS) tests/unit

test: lint ## The whole check: format, lint, types and every test, the notebooks included
	@$(BIN)/python -m pytest $(WORKERS)

long: venv ## Only the long forms of tests: kills by the hundred, half an hour of video, whole presets
	@$(BIN)/python -m pytest $(WORKERS) -m slow

# Any Python that has torch will do, so that a machine that is lent for minutes need not install anything.
gpu: ## Everything that needs a GPU, at most eight minutes: tests, speeds, a rehearsal, the notebooks
	@if $(PYTHON) -c 'import torch' 2>/dev/null; then $(PYTHON) scripts/gpu.py $(if $(OUT),--out $(OUT)); \
	else $(MAKE) --no-print-directory venv && $(BIN)/python scripts/gpu.py $(if $(OUT),--out $(OUT)); fi

# Such a machine may have no network: what it lacks goes there as files, with the checkout.
wheels: venv ## Collect in build/wheels what `make gpu` needs on a machine without Jupyter and network
	$(BIN)/python scripts/wheels.py

lint: venv ## Check format, lint and types only
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

notebooks: venv ## Execute the committed notebooks anew on the demo, in place (07, 09 and 10 take longest)
	$(BIN)/python -c "from emolib.pipeline.committed import refresh_notebooks; refresh_notebooks()"

figures: venv ## Copy the figures and tables that README shows from the finished demo run, and fill them in
	$(BIN)/python -c "from emolib.pipeline.committed import refresh_figures; refresh_figures()"
	$(BIN)/python scripts/readme.py

# The upload button of notebook 08 sends a video in one message, of which the server takes 10 MB unless told otherwise.
lab: venv ## Open working copies of the notebooks (runs/lab) in JupyterLab
	$(BIN)/python -m emolib.pipeline.lab
	$(BIN)/python -m jupyterlab --notebook-dir=runs/lab --ServerApp.tornado_settings='{"websocket_max_message_size": 1073741824}' $(if $(filter 0,$(shell id -u)),--allow-root)

lock: venv ## Rewrite requirements.lock from what .venv holds
	$(BIN)/python scripts/lock.py

clean: ## Remove the virtual environment, tool caches and builds (runs stay: `emolib clean` frees those)
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

venv: ## Make or renew the virtual environment only
	@{ pwd; cat requirements.lock; } | cmp -s - .venv/made-from || $(MAKE) --no-print-directory new-venv
	@cmp -s pyproject.toml .venv/pyproject.toml || \
		{ $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e . && cp pyproject.toml .venv/pyproject.toml; }

new-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "emolib needs Python 3.11 or newer, and '$(PYTHON)' is not: call make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "'$(PYTHON)' cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "Making .venv from requirements.lock; PyTorch makes this a few GB on Linux, once."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@{ pwd; cat requirements.lock; } > .venv/made-from
