# make lab    opens the course       make test    tests all of it       make build    rebuilds the notebooks
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: lab test build browser sandbox

lab: .venv/lab
	$(BIN)/mmcourse lab

test: .venv/all browser sandbox
	MMCOURSE_STATIC=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval --nbval-current-env notebooks solutions tests

build: .venv/all
	$(BIN)/mmcourse build

# The environment: made when missing, brought up to date when what it is made of has changed.
.venv/lab: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("mmcourse needs Python 3.11 or newer, and this is %s: run make again with PYTHON=python3.11 (or newer)." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[lab]"
	@touch $@

.venv/all: .venv/lab
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[lab,test,author]"
	@touch $@

# The browser tests drive Chromium: the system's own, or one that playwright fetches.
browser: .venv/all
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium; } \
		|| $(BIN)/playwright install chromium

# The grader's sandbox. Where it cannot be had, its tests are skipped.
sandbox:
	@command -v bwrap >/dev/null || { [ "$$(uname)$$(id -u)" = Linux0 ] && apt-get update -qq && apt-get install -y -qq bubblewrap; } \
		|| echo "bubblewrap is not installed: the tests of the sandbox are skipped (Debian, Ubuntu: apt-get install bubblewrap)."
