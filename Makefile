# Two commands do all the set-up: `make demo` and `make test`.
# They need Python 3.11 or newer with venv, git and make; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check install install-dev generator build clean

# The whole story on the embedded blood cells; ends with demo/report.html.
demo: install
	$(BIN)/datasetgan demo --out demo

# All that keeps the project true: style, types, architecture, tests.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

check: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/bin/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "datasetgan needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV) || { echo "On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet uv

# constraints.txt pins every package, so all machines install the same.
$(VENV)/.installed: $(VENV)/bin/uv pyproject.toml constraints.txt
	@start=$$(date +%s); set -x; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e . || exit 1; \
	set +x; echo "Installed in $$(($$(date +%s) - start)) s."
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --group dev -e .
	@touch $@

# The embedded 64 px generator from the photographs' zip; hours on a CPU, resumable.
# What it cannot repeat are the first sittings with other settings; see assets/CARD.md.
PHOTOS ?= wbc.zip
generator: install
	$(BIN)/datasetgan train-generator $(PHOTOS) --out wbc.safetensors --resolution 64 \
	    --network small --batch 16 --learning-rate 0.0015 --r1-gamma 0.5 --symmetry dihedral \
	    --images 270000 --snapshot-images 16384 \
	    --title "White blood cells, 64 px, StyleGAN2" --license CC-BY-4.0

build: install-dev
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
