# Everything runs in .venv, made on first use. `make demo` and `make test` need nothing else than Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
# Of `make test-newest` and `make test-oldest`: the torch to be tried, the lock's unless said otherwise, since
# many of its builds are gigabytes; and the tests to run.
TORCH ?= $(shell grep ^torch== constraints.txt)
TESTS ?= tests
# The folder that holds multi30k/ and g2p/ for `make bench`, text/ for `make models`, and one for the peers' environments and the runs.
DATA ?= data
WORK ?= build/bench
BIN := $(VENV)/bin
LOWEST := build/uv/bin/uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --all-extras --no-annotate --no-header

.PHONY: demo site notebooks models words test fuzz test-seeds browser lint lock licences test-newest test-oldest peers bench clean

# torch comes first, so that no other package's wish gets another build in. What builds the package is locked too.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch hatchling build
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation '.[train,plot,serve]'
	touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation '.[dev]'
	touch $@

# What is run and tested is the wheel, as people install it, and the wheel is built from the source distribution.
$(VENV)/wheel: $(VENV)/installed README.md $(shell find src -type f -not -name '*.pyc')
	rm -rf dist
	$(BIN)/python -m build --no-isolation > /dev/null
	$(BIN)/pip install --quiet --no-deps --force-reinstall dist/*.whl
	touch $@

demo: $(VENV)/wheel
	$(BIN)/attentio demo

# The documents, the guide first, as pages that open from disk: build/site/index.html.
site: $(VENV)/wheel $(VENV)/developing
	PYTHONPATH=docs/making $(BIN)/zensical build --config-file mkdocs.yml --clean
	$(BIN)/attentio look dates-luong '14 March 2026' --out build/site/learn/pages/dates-luong.html

# Every chapter of the guide as a notebook, in build/notebooks.
notebooks: $(VENV)/wheel $(VENV)/developing
	$(BIN)/python docs/making/notebooks.py build/notebooks

# Pages are tested in a real browser. Where there is none and none can be installed, those tests skip and say so.
browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    export DEBIAN_FRONTEND=noninteractive; \
	    timeout 600 sh -c 'apt-get update -qq; apt-get install -qq --no-install-recommends chromium' > /dev/null \
	        || echo "Chromium could not be installed: the tests of pages will skip"; \
	fi

test: lint browser
	# The models are tiny: a second thread would only wait for the first, a second process does not. Some tests wait for
	# browsers and other programs, and a third process works meanwhile.
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 3 --dist worksteal $(TESTS)

# What is trained in the tests, with fresh seeds instead of the pinned ones: a seed may miss its bound.
test-seeds: $(VENV)/wheel $(VENV)/developing
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --fresh-seeds tests/system/test_learning.py

# Hostile inputs by the thousand, each in a process under limits; `FUZZ='--seed N --inputs 1'` makes one again.
fuzz: $(VENV)/wheel $(VENV)/developing
	$(BIN)/python tests/fuzz $(FUZZ)

lint: $(VENV)/wheel $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/lint-imports

# constraints.txt anew: the newest releases that the ranges allow, on every system and Python, with all they need.
lock: build/uv
	build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --upgrade \
	    --custom-compile-command 'make lock' --output-file constraints.txt pyproject.toml

build/uv:
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet uv

# The suite beside other releases than the lock's, each in an environment of its own, which is made anew.
test-newest: browser
	mkdir -p build
	echo '$(TORCH)' > build/newest.txt
	$(MAKE) --no-print-directory build/newest/tested

test-oldest: browser build/uv
	# First where each range begins, then what all of those need at once: a bound that another forbids stops here.
	$(LOWEST) --no-deps pyproject.toml > build/bounds.txt
	$(LOWEST) --constraint build/bounds.txt pyproject.toml > build/lowest.txt
	grep -vE '^(torch|triton|nvidia-.*|cuda-.*)==' build/lowest.txt > build/oldest.txt
	echo '$(TORCH)' >> build/oldest.txt
	$(MAKE) --no-print-directory build/oldest/tested

build/%/tested:
	rm -rf build/$*
	$(PYTHON) -m venv build/$*
	build/$*/bin/pip install --quiet --constraint build/$*.txt torch hatchling
	build/$*/bin/pip install --quiet --constraint build/$*.txt --no-build-isolation '.[dev]'
	build/$*/bin/pip freeze --exclude attentio
	OMP_NUM_THREADS=1 build/$*/bin/pytest --numprocesses 3 --dist worksteal $(TESTS) \
	    --deselect tests/system/test_package.py::test_every_requirement_of_the_lock_is_pinned_and_installed_as_pinned

# docs/licences.md anew: what an installation with every extra brings, and under which licence.
licences: $(VENV)/developing
	printf '%s\n' '# Licences' '' 'All that an installation with every extra, and the tools of development, bring along: none is the GPL.' \
	    '`make licences` writes this table.' '' > docs/licences.md
	$(BIN)/pip-licenses --from=mixed --format=markdown --with-system --ignore-packages attentio >> docs/licences.md

# The bundles of src/attentio/models_along anew, hours on one core; of the language models from text in $(DATA)/text.
# `make models NAMES=cmudict` makes one.
models: $(VENV)/wheel
	OMP_NUM_THREADS=1 $(BIN)/python tools/make_models.py --data $(DATA) $(NAMES)

# The Korean of the commands: what is to be translated is put into attentio.po and told, and the rest compiled.
words: $(VENV)/developing
	$(BIN)/python tools/messages.py

# Installs gigabytes: every peer has a torch of its own.
peers: $(VENV)/wheel
	$(BIN)/python benchmarks/check_peers.py --envs $(WORK)/envs --work $(WORK)/peers

bench: $(VENV)/wheel
	$(BIN)/python benchmarks/training_throughput.py --data $(DATA) --envs $(WORK)/envs --work $(WORK)

clean:
	rm -rf $(VENV) build dist
