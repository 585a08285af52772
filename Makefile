PYTHON ?= python3
# Which engine build .venv gets: gpu (CUDA) where an NVIDIA driver answers, else cpu. `make env ENV=cpu` decides otherwise.
ENV ?= $(if $(shell nvidia-smi -L 2>/dev/null),gpu,cpu)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
SLURM := slurmctld slurmd slurm-client munge
DEMO_MODEL := models/smollm2-135m-instruct
UV_COMPILE = uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_31 --generate-hashes --no-header --no-emit-index-url

.PHONY: help env demo test test-browser test-slurm demo-slurm slurm lint format lock

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

env: .venv/.complete  ## make .venv: vLLM for this machine, Snakemake, evalpack (editable), test tools

.venv/.complete: envs/$(ENV).txt envs/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r envs/$(ENV).txt
	$(PIP) --require-hashes -r envs/dev.txt
	$(PIP) --no-build-isolation --editable .
	touch $@

$(DEMO_MODEL): | .venv/.complete
	$(BIN)/python -m evalpack.demo_model $@

demo: env $(DEMO_MODEL)  ## evaluate a small real model on a made-up survey, on any machine
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores all --resources gpu=4

test: env $(DEMO_MODEL)  ## all tests, one of them on real vLLM
	$(BIN)/pytest

test-browser: env  ## what the plan's page does in a real browser (installs Debian's chromium if it is missing)
	command -v chromium >/dev/null || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends chromium; }
	$(BIN)/pytest tests/browser

test-slurm: env $(DEMO_MODEL) slurm  ## the workflow on a real SLURM of two nodes on this machine (root; installs Debian's packages if missing)
	$(BIN)/pytest -rP tests/slurm

demo-slurm: env $(DEMO_MODEL) slurm  ## the demo on such a cluster
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/slurm/with_cluster.py snakemake --workflow-profile profiles/slurm-demo

slurm:
	dpkg -s $(SLURM) >/dev/null 2>&1 || { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends $(SLURM); }

lint: env  ## what CI checks of style and types
	$(BIN)/ruff check workflow tests benchmarks
	$(BIN)/ruff format --check workflow tests benchmarks
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	MYPYPATH=benchmarks:workflow/scripts $(BIN)/mypy benchmarks/*.py
	MYPYPATH=benchmarks/gpu:benchmarks:workflow/scripts $(BIN)/mypy benchmarks/gpu/*.py
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

format: env  ## bring the code into shape
	$(BIN)/ruff check --fix workflow tests benchmarks
	$(BIN)/ruff format workflow tests benchmarks
	$(BIN)/snakefmt Snakefile workflow/rules

lock:  ## pin envs/*.txt anew from envs/*.in (needs uv, and torch's CPU wheel where pip finds it)
	cd envs && $(UV_COMPILE) cpu.in --override overrides-cpu.txt -o cpu.txt
	cd envs && $(UV_COMPILE) gpu.in --override overrides-gpu.txt -o gpu.txt
	cd envs && $(UV_COMPILE) dev.in --override overrides-cpu.txt -c cpu.txt -o dev.txt
