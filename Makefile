# `make demo` and `make test` need python3 (3.11 or newer) and make; what else they need they install into VENV.
#   make test PYTHON=python3.13 VENV=/tmp/venv313     another Python, a virtual environment elsewhere
#   make test PYTEST_ARGS="-k endpoint -x"            more words for pytest
PYTHON ?= python3
VENV ?= .venv
WORKERS ?= auto
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_ARGS ?=

VENV_PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.asyncnet-installed
PYTEST := $(VENV_PYTHON) -m pytest
COMPARED := $(VENV)/.asyncnet-compared

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-real test-all check format coverage fuzz bench-core bench-core-attacks bench-mail bench-http bench-jobs bench-cluster bench-lab wheel clean

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

venv: $(INSTALLED) ## make the virtual environment (uv if it is on PATH, else pip)

demo: $(INSTALLED) ## mail, web and sockets on servers of its own, and 200 jobs over them
	$(VENV_PYTHON) -m asyncnet demo

test: $(INSTALLED) ## the fast tests, in parallel
	$(PYTEST) -n $(WORKERS) -m "not slow" $(PYTEST_ARGS)

test-real: $(INSTALLED) ## the tests against Dovecot, Postfix and nginx alone
	$(PYTEST) tests/real $(PYTEST_ARGS)

test-all: $(INSTALLED) ## every test, the slow ones too
	$(PYTEST) -n $(WORKERS) $(PYTEST_ARGS)

check: $(INSTALLED) ## format, lint, types and the house rules; changes nothing
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy
	$(PYTEST) tests/test_house.py

format: $(INSTALLED) ## format the code and mend what ruff can mend
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

coverage: $(INSTALLED) ## every test, then the branch coverage of asyncnet/
	$(VENV_PYTHON) -m coverage erase
	status=0; $(VENV_PYTHON) -m coverage run -m pytest -n $(WORKERS) $(PYTEST_ARGS) || status=$$?; \
	$(VENV_PYTHON) -m coverage combine --quiet && $(VENV_PYTHON) -m coverage report; exit $$status

bench-core: $(COMPARED) ## the core against its peers (20 minutes); BENCH_ARGS="--quick" and others
	$(VENV_PYTHON) -m benchmarks.core $(BENCH_ARGS)

bench-core-attacks: $(COMPARED) ## the core under attack, in a crowd, out of descriptors (3 minutes)
	$(VENV_PYTHON) -m benchmarks.core.attacks $(BENCH_ARGS)

bench-http: $(COMPARED) ## HTTP against its peers, on nginx (an hour); BENCH_ARGS="--quick" and others
	$(VENV_PYTHON) -m benchmarks.http $(BENCH_ARGS)

bench-mail: $(INSTALLED) ## POP3, SMTP and IMAP against their peers, on Dovecot and Postfix (half an hour)
	for protocol in pop3 smtp imap; do $(VENV_PYTHON) -m benchmarks.mail $$protocol $(BENCH_ARGS) || exit; done

bench-jobs: $(COMPARED) ## jobs against loops written by hand, curl, aria2, wget2 and Scrapy (forty minutes); BENCH_ARGS="--quick" and others
	$(VENV_PYTHON) -m benchmarks.jobs $(BENCH_ARGS)

bench-cluster: $(INSTALLED) ## jobs over many machines; BENCH_ARGS="--quick" and others
	$(VENV_PYTHON) -m benchmarks.jobs.cluster $(BENCH_ARGS)

bench-lab: $(INSTALLED) ## how fast the lab starts, takes mail and gives it
	$(VENV_PYTHON) -m benchmarks.lab $(BENCH_ARGS)

fuzz: $(INSTALLED) ## some fuzzing of every parser; FUZZ_ARGS="--bytes 10000000 --seed 7" and others
	$(VENV_PYTHON) -m tests.fuzz --bytes 300000 $(FUZZ_ARGS)

wheel: $(INSTALLED) ## build dist/asyncnet-*.whl and the source archive
	$(VENV_PYTHON) -m hatchling build -d dist

clean: ## remove .venv and what the targets above made
	rm -rf .venv build dist site htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find asyncnet tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# The stamp is older than pyproject.toml once a dependency changes, and the environment is brought up to date then.
$(INSTALLED): pyproject.toml
	@python="$(VENV_PYTHON)"; test -x "$$python" || python="$(PYTHON)"; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "asyncnet needs Python 3.11 or newer, but $$python is $$("$$python" --version 2>/dev/null || echo absent):" \
			"name another with 'make PYTHON=python3.13 ...'." >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		echo "Setting up $(VENV) with uv"; \
		{ test -x $(VENV_PYTHON) || uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); } && \
		uv pip install --quiet --python $(VENV_PYTHON) -e '.[dev]'; \
	else \
		echo "Setting up $(VENV) with pip"; \
		{ $(VENV_PYTHON) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV); } && \
		$(VENV_PYTHON) -m pip install -qq --disable-pip-version-check -e '.[dev]'; \
	fi
	@touch $@

# The libraries that asyncnet is measured against, for the benchmarks alone.
$(COMPARED): $(INSTALLED)
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(VENV_PYTHON) -e '.[bench]'; \
	else $(VENV_PYTHON) -m pip install -qq --disable-pip-version-check -e '.[bench]'; fi
	@touch $@
