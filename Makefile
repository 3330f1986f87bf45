# Everything a newcomer or a developer types. `make run` needs Python 3.11 or later and nothing else.
#
#   make run      the service at work in a private world on loopback
#   make test     the tests; JOBS=2 runs two at a time, TESTS=tests.queue.test_spool some of them
#   make check    style, types, tests with coverage, documents
#   make matrix   the unit tests on every Python from 3.11 to 3.13 that is here
#   make doc      the documents, as HTML in doc/_build/html
#   make oracle ORACLE=DIR [PROFILE=seed|stock]   scripted deliveries, compared with what Postfix did
#   make tls-oracle ORACLE=DIR                    every TLS policy in every situation, compared in the same way
#   make simulate [SEED=N] [RUNS=N] [TRACE=1]     the whole service in random worlds, with faults
#   make torture [STEP=N]     kill, power cut, disk errors, clock, DNS at every file operation; real kills and stops
#   make fuzz [SECONDS=N]     bytes from outside, changed at random
#   make bench [ROW=NAME] [COUNT=N] [ROUNDS=N]    how fast, beside Postfix where it is installed; a flame graph
#   make clean    remove everything that the above made

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
TESTS ?= tests
PROFILE ?= seed
VERSIONS ?= 3.11 3.12 3.13
JOBS ?=
TRIAL = -m twisted.trial $(if $(JOBS),-j$(JOBS))

.PHONY: run test check style types coverage matrix doc oracle tls-oracle simulate torture fuzz bench clean

run: $(VENV)/.for-run
	$(BIN)/python -m demo.run

test: $(VENV)/.for-test
	$(BIN)/python $(TRIAL) $(TESTS)

check: style types coverage doc

style: $(VENV)/.for-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.for-check
	$(BIN)/mypy

coverage: $(VENV)/.for-test
	$(BIN)/coverage erase
	$(BIN)/$(if $(JOBS),python -m tests.under_coverage -j$(JOBS),coverage run -m twisted.trial) tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

doc: $(VENV)/.for-check
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -d doc/_build/doctrees doc doc/_build/html

# Everything but what needs twistd, Postfix or pip as processes: these behave alike whatever Python they are tested from.
UNITS = $(filter-out tests.interop tests.service tests.torture tests.test_packaging,$(sort \
    $(patsubst tests/%/__init__.py,tests.%,$(wildcard tests/*/__init__.py)) \
    $(patsubst tests/%.py,tests.%,$(wildcard tests/test_*.py))))

# The first Python of each version that starts; those of pyenv lie beside the path.
matrix:
	@for version in $(VERSIONS); do \
	    found=; \
	    for python in python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python3; do \
	        if "$$python" -c '' 2>/dev/null; then found=$$python; break; fi; \
	    done; \
	    if [ -z "$$found" ]; then echo "Python $$version is not here"; continue; fi; \
	    echo "Python $$version: $$found"; \
	    $(MAKE) --no-print-directory test TESTS="$(UNITS)" PYTHON="$$found" VENV=.venv-$$version || exit 1; \
	done

oracle: $(VENV)/.for-test
	$(BIN)/python tests/oracle.py --profile $(PROFILE) "$(ORACLE)"

tls-oracle: $(VENV)/.for-test
	$(BIN)/python -m tests.tls_oracle "$(ORACLE)"

# Random worlds: by default as many as give ten thousand deliveries.
SEED ?= 1
RUNS ?= 0
simulate: $(VENV)/.for-test
	$(BIN)/python -m tests.simulation.run --seed $(SEED) --runs $(RUNS) $(if $(TRACE),--trace)

# Every fault at every file operation, in simulated worlds and with real processes; an hour or two, or STEP=50.
torture: $(VENV)/.for-test
	$(BIN)/python -m tests.torture.run --step $(or $(STEP),1)

# Readers of bytes from outside, for so many seconds.
fuzz: $(VENV)/.for-test
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),60)

# Ratios of one run, and var/bench/hot-path.svg; `python -m bench.run --help` names the rows.
ROW ?= quick
COUNT ?= 0
ROUNDS ?= 2
bench: $(VENV)/.for-run
	$(BIN)/python -m bench.run $(ROW) --count $(COUNT) --rounds $(ROUNDS)

clean:
	rm -rf .venv .venv-3.* build dist doc/_build var .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache
	rm -rf smtpclient.egg-info _trial_temp* twisted/plugins/dropin.cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# One virtual environment, filled as far as it is needed; an empty file says how far, so that a second call is quick.
# A dropin.cache may still speak of the plugin as it was; twistd writes a new one. Compiled modules save every process a
# quarter of a second of its start, also where Python is told not to write them itself.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
READY = rm -f twisted/plugins/dropin.cache; $(BIN)/python -m compileall -q smtpclient twisted demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is older than 3.11; name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.for-run: setup.cfg setup.py | $(BIN)/python
	$(INSTALL) .
	$(READY)
	touch $@

$(VENV)/.for-test: setup.cfg setup.py | $(BIN)/python
	$(INSTALL) '.[test]'
	$(READY)
	touch $(VENV)/.for-run $@

$(VENV)/.for-check: setup.cfg setup.py | $(BIN)/python
	$(INSTALL) '.[test,check]'
	$(READY)
	touch $(VENV)/.for-run $(VENV)/.for-test $@
