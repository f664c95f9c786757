# One verb for a person and for CI. Only Python (3.11 to 3.13), git and make are needed; everything goes into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
LOWEST := $(VENV)-lowest
NEED_EXTRAS := deploy evaluate_tracking loop tune

.PHONY: demo test check lint types imports docs bench chaos lowest clean

demo: $(VENV)/.installed          ## simulate a small embryo movie, segment and track it, score it, draw it
	$(BIN)/tlseg demo demo

test: $(VENV)/.tests              ## run the tests, each file in one of up to four processes
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

check: lint types imports test docs  ## everything CI asks for

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev                ## every command, path and link that the docs name must exist
	$(BIN)/python docs/check.py

bench: $(VENV)/.tests             ## what the README says of exactness, time and memory (docs name the other commands)
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/memory.py --shape 256,512,512
	$(BIN)/python benchmarks/memory.py --frames 1
	$(BIN)/python benchmarks/exactness.py
	$(BIN)/python benchmarks/tracking.py

chaos: $(VENV)/.tests            ## kill workers, client and scheduler in every stage: the labels stay the same
	PYTHONPATH=tests $(BIN)/python benchmarks/chaos.py

lowest: constraints.txt pyproject.toml  ## demo and tests with the least versions that pyproject.toml allows (PyTorch as pinned)
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/python -m pip install --quiet -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -c constraints.txt \
	  -e '.[hdf5,s3]' 'hypothesis>=6.112' 'pytest>=8.2'
	$(LOWEST)/bin/tlseg demo $(LOWEST)/demo
	$(LOWEST)/bin/python -m pytest tests/unit $(addprefix --ignore=tests/unit/test_,$(addsuffix .py,$(NEED_EXTRAS)))

clean:
	rm -rf $(VENV) $(LOWEST) demo build dist

# The constraints file pins PyTorch, so that everybody develops with the same version. TORCH_INDEX, where given, is the
# index it is taken from: that of CPU builds saves gigabytes of CUDA.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.torch: $(VENV)/bin/python constraints.txt
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet -c constraints.txt --index-url $(TORCH_INDEX) torch)
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.tests: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.tests $(VENV)/.installed
