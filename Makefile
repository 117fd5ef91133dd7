# Everything one can do here: `make help`.

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test simulate cert lint format types coverage pages conformance scan floods fuzz control audit check \
	bench bench-smoke dist clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/ready server.crt ## make all that is needed, start the server, say where it is (FLAGS="-addr :8443")
	@exec $(RUN) -m gochatsecure $(FLAGS)

test: $(VENV)/ready ## all tests, with h11, wsproto and the standard library alone (TESTS=tests/wire for some)
	@$(RUN) -m unittest $(if $(TESTS),discover -s $(TESTS) -t .)

simulate: $(VENV)/ready ## runs of the whole server on failing disks and networks, by seeds (SEEDS=10000 SEED=1)
	@$(RUN) -m tests.simulation -seeds $(or $(SEEDS),1000) $(or $(SEED),1)

cert: server.crt ## a certificate for this machine, unless there is one: tools/gen_cert.sh --help

lint: $(VENV)/dev-ready ## style and common faults, in Python and shell
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

format: $(VENV)/dev-ready ## lay the code out as `make lint` wants it
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

types: $(VENV)/dev-ready ## static types, strict
	@$(VENV)/bin/mypy

coverage: $(VENV)/dev-ready ## which lines the tests run
	@$(VENV)/bin/coverage erase
	@$(VENV)/bin/coverage run -m unittest
	@$(VENV)/bin/coverage combine -q && $(VENV)/bin/coverage report

control: $(VENV)/ready ## where a control stands, and its tests (ID=HTTP-3); OFF=1: with it switched off; all without ID
	@$(RUN) -m tests.security.off $(if $(OFF),,-on) $(ID)

audit: $(VENV)/ready ## what strangers reach, controls, dependencies with hashes, lines of code, bill of materials
	@$(RUN) -m tools.audit

pages: $(VENV)/ready ## the parts of the docs that are made from the code
	@$(RUN) -m tools.pages

conformance: $(VENV)/ready ## Autobahn|Testsuite against our WebSocket, over our TLS (needs a Python 2.7)
	@$(RUN) -m tests.autobahn $(CASES)

scan: $(VENV)/ready ## our TLS as sslyze and testssl.sh see it, against what it is meant to be
	@$(RUN) -m tests.scan

floods: $(VENV)/ready ## floods and slow peers from outside, memory measured before and after
	@$(RUN) -m unittest tests.attack.floods

fuzz: .venv-fuzz/ready ## a parser under atheris: make fuzz TARGET=http1 SECONDS=60 (no TARGET: all of them)
	@for target in $(or $(TARGET),$(TARGETS)); do .venv-fuzz/bin/python -m tests.fuzz $$target $(or $(SECONDS),60) || exit 1; done

check: lint types test ## what has to pass before a commit

bench: $(VENV)/ready ## measure this server and what people would use instead, in some twenty minutes (BENCH="--only memory")
	@$(RUN) -m bench.run $(BENCH)

bench-smoke: $(VENV)/ready ## that it is still fast and fair under load, in about a minute
	@$(RUN) -m bench.smoke

dist: $(VENV)/dev-ready ## the packages for an index, in dist/
	@$(VENV)/bin/pip install -q build && $(RUN) -m build -q

clean: ## remove what was made here, but never data/ or certificates
	rm -rf $(VENV) .venv-conformance .venv-scan .venv-fuzz bench/.build build dist .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* \
		*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

TARGETS = tls http1 handshake websocket lines json jwt names

.venv-fuzz/ready: setup.cfg
	@$(PYTHON) -m venv .venv-fuzz
	@.venv-fuzz/bin/pip install -q --disable-pip-version-check -e .
	@.venv-fuzz/bin/pip install -q --disable-pip-version-check atheris || echo "make: atheris cannot be installed here" >&2
	@touch $@

server.crt:
	@tools/gen_cert.sh --quiet

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/ready: $(VENV)/bin/python setup.cfg requirements.txt
	@echo "making the environment in $(VENV)"
	@$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@$(RUN) -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/dev-ready: $(VENV)/ready
	@$(RUN) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@
