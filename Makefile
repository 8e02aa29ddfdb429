# `make help` lists the targets. Everything is installed into .venv; nothing outside it but Debian packages for the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
EDGETOOL := $(BIN)/edgetool
DEMO ?= demo

# Emptied of what would make results depend on the shell they are started from.
export PYTHONHASHSEED := 0
export TF_CPP_MIN_LOG_LEVEL := 3

.DEFAULT_GOAL := help
.PHONY: help demo wheel bench-all test test-fast test-pi check coverage docs changelog format pretrained pretrained-calibrated test-service fuzz faults soak screenshot clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "edgetool needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/deploy.stamp: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "Installing edgetool with what deployment needs into $(VENV) (a few minutes the first time) ..."
	$(PIP) --editable '.[deploy]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/deploy.stamp
	@echo "Installing what the tests need into $(VENV) ..."
	$(PIP) --editable '.[deploy,learn,tensorflow,dev]'
	@touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp
	@echo "Installing what the documentation site needs into $(VENV) ..."
	$(PIP) --editable '.[docs]'
	@touch $@

demo: $(VENV)/deploy.stamp ## convert the shipped checkpoint to int8, bench it, write demo/report.html
	@mkdir -p $(DEMO)
	$(EDGETOOL) convert pretrained --data synthetic --out $(DEMO)/bundle
	$(EDGETOOL) bench $(DEMO)/bundle --json $(DEMO)/report.json --html $(DEMO)/report.html \
	  --max-rmse-increase 1.5
	@echo "Report: $(DEMO)/report.html"

wheel: $(VENV)/pyvenv.cfg ## dist/edgetool-*.whl, to install elsewhere: a Raspberry Pi, another environment
	rm -rf build/lib build/bdist.* dist/edgetool-*.whl
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@rm -rf build/lib build/bdist.*
	@ls dist/edgetool-*.whl

bench-all: $(VENV)/dev.stamp ## every figure of docs/PERFORMANCE.md on this machine, into build/bench (half an hour)
	@mkdir -p build/bench
	/usr/bin/time -v $(EDGETOOL) convert pretrained --out build/bench/bundle 2>&1 | tee build/bench/convert.txt
	$(BIN)/python -m benchmarks.studies.convert_speed | tee build/bench/converters.txt
	$(EDGETOOL) bench build/bench/bundle --peers --on host --on qemu:cortex-m4 --on qemu:cortex-m55 \
	  --json build/bench/report.json --html build/bench/report.html | tee build/bench/bench.txt
	$(BIN)/python -m benchmarks.studies.engine_speed | tee build/bench/engine_speed.txt
	$(BIN)/python -m benchmarks.studies.lstm_sizes | tee build/bench/lstm_sizes.txt
	$(BIN)/python -m benchmarks.studies.engine_instructions build/bench/bundle | tee build/bench/arm64.txt
	$(BIN)/python -m benchmarks.studies.core_sizes --units 64,96,100,104,128 --plot build/bench/core_sizes.svg \
	  | tee build/bench/core_sizes.txt
	for nodes in 8 16 32 64; do $(BIN)/python -m benchmarks.studies.bridge_load --nodes $$nodes --seconds 20 || exit 1; done \
	  | tee build/bench/nodes.txt
	$(BIN)/python -m benchmarks.studies.daemon_load --seconds 120 --plain-seconds 10 --realtime \
	  --json build/bench/daemon.json | tee build/bench/daemon.txt

test: check ## lint, types and all tests (installs Debian packages where it may)
	@sh tests/system_packages.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(PYTEST_ARGS)

test-fast: $(VENV)/dev.stamp ## the tests of daily work, under a minute: none that is slow, emulates, renders or needs a service
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal \
	  -m "not slow and not qemu and not browser and not service" $(PYTEST_ARGS)

coverage: $(VENV)/dev.stamp ## which lines and branches all tests reach, commands included: build/coverage/html (twice the time of make test)
	@sh tests/system_packages.sh
	@mkdir -p build/coverage && rm -f build/coverage/data*
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest --numprocesses 2 --dist worksteal $(PYTEST_ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage html --quiet
	$(BIN)/python -m coverage report

docs: $(VENV)/docs.stamp ## the documentation site, build/site; warnings and broken links are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Site: build/site/index.html"

changelog: $(VENV)/docs.stamp ## what the next release will say; make changelog VERSION=0.2.0 moves it into CHANGELOG.md
	$(BIN)/towncrier build $(if $(VERSION),--yes --version $(VERSION),--draft --version unreleased)

test-pi: $(VENV)/dev.stamp ## the tests on an emulated Raspberry Pi alone; they fail where it cannot be made
	@sh tests/system_packages.sh
	EDGETOOL_REQUIRE_PI=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal \
	  tests/pi tests/quantization/kernels/test_host_kernels.py tests/runtime/engines/test_tflite_runtime.py $(PYTEST_ARGS)

test-service: $(VENV)/dev.stamp ## the service alone, under a systemd that is booted in a container (needs root; skips say what is missing)
	@sh tests/system_packages.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m service $(PYTEST_ARGS)

fuzz: $(VENV)/dev.stamp ## mutants through both packet decoders, all readers, whole sessions, hostile text, then libFuzzer (hours)
	$(BIN)/python -m tests.fuzz.fuzz_both --bytes 10000000
	$(BIN)/python -m tests.fuzz.fuzz_readers --megabytes 100
	$(BIN)/python -m tests.fuzz.fuzz_sessions --sessions 2000 --daemon
	$(BIN)/python -m tests.fuzz.fuzz_text --strings 1000
	EDGETOOL_EVERY_BYTE=1 $(BIN)/python -m pytest -p no:xdist -q tests/quantization/test_signing.py
	@mkdir -p build/corpus
	clang -std=c99 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Ifirmware_bridge/protocol/codec_c \
	  tests/fuzz/fuzz_codec.c firmware_bridge/protocol/codec_c/*.c -o build/fuzz_codec
	build/fuzz_codec -runs=3000000 -max_len=1024 -seed=1 build/corpus tests/fuzz/corpus tests/golden/packets

faults: $(VENV)/dev.stamp ## every fault of the simulator, alone and mixed, over 200 seeds each (minutes)
	EDGETOOL_FAULT_SEEDS=200 OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 tests/firmware_bridge/simulator/test_faults.py

soak: faults ## faults, then 10 minutes of load in real time, and five simulated hours of clocks (half an hour)
	@mkdir -p build/soak
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.studies.bridge_load --live --seconds 600 --json build/soak/load.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.studies.clock_error --seeds 5 --json build/soak/clock.json

check: $(VENV)/dev.stamp ## ruff (lint and format), codespell and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

screenshot: $(VENV)/dev.stamp ## docs/images/dashboard.png, from edgetool run --demo in a headless Chromium
	$(BIN)/python -m tests.runtime.server.screenshot docs/images/dashboard.png

pretrained: $(VENV)/deploy.stamp ## train the shipped checkpoint again, on synthetic gait (about 4 minutes)
	$(EDGETOOL) train --data synthetic:people=24 --seed 1 --epochs 7 --stride 6 --weights float16 \
	  --out toolkit/model/pretrained/cross_lstm_synthetic.safetensors \
	  --card toolkit/model/pretrained/cross_lstm_synthetic.md

pretrained-calibrated: $(VENV)/deploy.stamp ## train pretrained:calibrated again, on synthetic gait (about 5 minutes)
	$(EDGETOOL) train --data synthetic:people=24 --seed 1 --epochs 12 --stride 6 --weights float16 \
	  --calibration walk --sequence 3 --augment default \
	  --out toolkit/model/pretrained/cross_lstm_calibrated.safetensors \
	  --card toolkit/model/pretrained/cross_lstm_calibrated.md

format: $(VENV)/dev.stamp ## format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what these targets made, the virtual environment included
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
