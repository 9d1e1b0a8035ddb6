# Two commands do everything on a fresh machine with Python and make: `make demo` and `make test`.
PYTHON := $(shell for v in 3.13 3.12 3.11; do command -v python$$v >/dev/null 2>&1 && python$$v -c 'import sys; sys.exit(sys.version_info[:2] != tuple(map(int, "'$$v'".split("."))))' >/dev/null 2>&1 && echo python$$v && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Real peers of the tests: command=Debian package. Installed where this may install; else the tests that need one are
# skipped, and say so. In CI (CI=true) a missing one is a failure.
PEERS := mosquitto=mosquitto mosquitto_pub=mosquitto-clients mbpoll=mbpoll socat=socat cc=gcc pkg-config=pkg-config openssl=openssl
PEER_LIBRARIES := libmodbus=libmodbus-dev

.PHONY: demo test lint types unit peers faults faults-once bench lock clean

demo: $(VENV)/ready
	$(BIN)/greenhouse-edge demo

test: lint types unit

lint: $(VENV)/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/ready-dev
	$(BIN)/mypy

unit: $(VENV)/ready-dev peers
	$(BIN)/pytest --numprocesses 2 --dist loadgroup $(PYTEST_ARGUMENTS)

# Debian puts mosquitto where an ordinary user's PATH does not look.
peers:
	@missing=""; PATH="$$PATH:/usr/sbin"; \
	for peer in $(PEERS); do command -v "$${peer%%=*}" >/dev/null 2>&1 || missing="$$missing $${peer#*=}"; done; \
	for peer in $(PEER_LIBRARIES); do pkg-config --exists "$${peer%%=*}" 2>/dev/null || missing="$$missing $${peer#*=}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; \
	else echo "not installed, so their tests are skipped: apt-get install$$missing" >&2; fi

# The slower proof: more seeds, more kills, more failovers. Not part of `make test`. On each Python that is installed, also by pyenv:
# what differs between them (the stop, cancellation, SQLite) shows in these tests first.
VERSIONS := 3.11 3.12 3.13
faults: peers
	@for v in $(VERSIONS); do \
	  python=$$(ls -1d $$(command -v python$$v) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$v.*/bin/python$$v 2>/dev/null \
	    | while read -r p; do "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != tuple(map(int, "'$$v'".split("."))))' 2>/dev/null && echo "$$p" && break; done); \
	  if [ -z "$$python" ]; then echo "no Python $$v here: not proved on it" >&2; continue; fi; \
	  echo "== $$($$python --version)"; \
	  $(MAKE) faults-once PYTHON="$$python" VENV=".venv-$$v" || exit 1; \
	done

faults-once: $(VENV)/ready-dev
	GREENHOUSE_EDGE_SEEDS=3000 GREENHOUSE_EDGE_KILLS=100 GREENHOUSE_EDGE_FAILOVERS=500 GREENHOUSE_EDGE_DISTURBED_READS=60000 \
	$(BIN)/pytest --numprocesses 2 --dist loadgroup --timeout 1800 tests/simulation tests/system tests/control tests/drivers/modbus tests/peers

bench: $(VENV)/ready
	$(BIN)/greenhouse-edge bench

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "greenhouse-edge needs Python 3.11, 3.12 or 3.13 (apt-get install python3 python3-venv)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -q && apt-get install -q -y python3-venv; \
	  else echo "Python's venv is missing: sudo apt-get install python3-venv" >&2; exit 1; fi; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: requirements.lock requirements-build.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements-build.lock
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/ready-dev: requirements-dev.lock $(VENV)/ready
	$(PIP) install --require-hashes -r requirements-dev.lock
	touch $@

# Needs uv (https://docs.astral.sh/uv/). Hashes for every platform, no addresses.
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock:
	$(UV_COMPILE) pyproject.toml -o requirements.lock
	$(UV_COMPILE) pyproject.toml --group dev -o requirements-dev.lock
	$(UV_COMPILE) --group build -o requirements-build.lock
	$(UV_COMPILE) --group foreign -o tests/package/requirements-foreign.lock

clean:
	rm -rf $(VENV) .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
