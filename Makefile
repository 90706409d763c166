# Everything runs in .venv, made on first use. `make demo` and `make test` need nothing else than Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
# Of `make bench`: the folder that holds multi30k/ and g2p/, and one for the peers' environments and the runs.
DATA ?= data
WORK ?= build/bench
BIN := $(VENV)/bin

.PHONY: demo test browser lint bench clean

# torch comes first, through constraints.txt, so that no other package's wish gets another build in.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt '.[dev]'
	touch $@

# What is run and tested is the wheel, as people install it.
$(VENV)/wheel: $(VENV)/installed README.md $(shell find src -type f -not -name '*.pyc')
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/pip install --quiet --no-deps --force-reinstall dist/*.whl
	touch $@

demo: $(VENV)/wheel
	$(BIN)/attentio train cmudict --run runs/cmudict
	$(BIN)/attentio evaluate runs/cmudict
	printf 'attentio\nkimchi\nchatbot\nhangul\ntransformer\n' | $(BIN)/attentio translate runs/cmudict
	$(BIN)/attentio look runs/cmudict attentio
	$(BIN)/attentio look runs/cmudict pronunciation
	$(BIN)/attentio look runs/cmudict attentio --out runs/cmudict/pictures/attentio.html

# Pages are tested in a real browser. Where there is none and none can be installed, those tests skip and say so.
browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    timeout 600 sh -c 'apt-get update -qq; apt-get install -qq --no-install-recommends chromium' > /dev/null \
	        || echo "Chromium could not be installed: the tests of pages will skip"; \
	fi

test: lint browser
	# The models are tiny: a second thread would only wait for the first, a second process does not.
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/wheel
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/wheel
	$(BIN)/python benchmarks/training_throughput.py --data $(DATA) --envs $(WORK)/envs --work $(WORK)

clean:
	rm -rf $(VENV) build dist
