# `make run` starts the page, `make test` passes all tests; both do their own set-up in .venv.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
FITS := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
# `make test PYTHON=python3.13`, or the same in the environment, takes another one for a new .venv.
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	if $$p -c '$(FITS)' 2>/dev/null; then echo $$p; break; fi; done)
endif

.PHONY: run test browser screenshots train-requirements weights benchmarks stress space requirements lock clean

run: $(VENV)/app.done
	$(BIN)/python app.py

test: $(VENV)/test.done browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The pictures in docs/ anew.
screenshots: $(VENV)/test.done browser
	$(BIN)/python -m tests.screenshots

# What `python -m train.fit` and its neighbours need, in the same environment.
train-requirements: $(VENV)/train.done

# The shipped weights from the data set, run by run (train/EXPERIMENTS.md): each teaches the next ones. Goes on after a break.
DATA := data/ham10000
FIT := $(BIN)/python -m train.fit --data $(DATA) --resume
TAUGHT := --training-size 78 --intermediate 256 --mixed 0.7 --coarse 0.2 --noise 16 --drop-path 0.15

weights: runs/fast/metrics.json

runs/first/metrics.json: | $(VENV)/train.done
	$(FIT) --out $(@D)

runs/teacher/metrics.json: runs/first/metrics.json
	$(FIT) --out $(@D) --size 224 --enlarge-to 224 --training-size 176 --intermediate 256 --frozen 5 --frozen-from $(<D) \
		--coarse 0.4 --noise 16 --mixed 0.7 --drop-path 0.15 --epochs 16

runs/second/metrics.json: runs/teacher/metrics.json runs/first/metrics.json
	$(FIT) --out $(@D) --frozen 5 --start $(<D) --teachers $(^D) --epochs 6 --rate 0.0002 --warmup 0.3 --averaging 0.995 \
		--enlarge-to 160 $(TAUGHT)

runs/fast/metrics.json: runs/teacher/metrics.json runs/first/metrics.json runs/second/metrics.json
	$(FIT) --out $(@D) --variant 2 --teachers $(^D) --teachers-size 160 --epochs 10 --averaging 0.996 \
		--enlarge-to 144 --training-enlarge-to 133 $(TAUGHT)

benchmarks: $(VENV)/app.done
	$(BIN)/python -m benchmarks

# The long forms: 100,000 mutilated photos, other ones each time; 2 minutes of 32 users, 5,000 requests; and what the service's table in the README says.
stress: $(VENV)/test.done
	SKINAPP_FUZZ_CASES=100000 $(BIN)/python -m pytest tests/test_fuzz.py
	SKINAPP_STRESS=1 $(BIN)/python -m pytest tests/test_load.py
	$(BIN)/python -m benchmarks.load --seconds 120

# All that a Hugging Face Space needs, built and started here: ten minutes, and 3 GB of /tmp for that time.
space: $(VENV)/test.done
	$(BIN)/python -m tests.space

# An installed Chromium or Chrome if there is one, else Debian's package as root, else Playwright's own.
browser: $(VENV)/test.done
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null 2>&1 && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && apt-get update -q \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -q chromium; then exit 0; fi; \
	$(BIN)/playwright install chromium

$(VENV)/created.done:
	@if ! $(PYTHON) -c '$(FITS)' 2>/dev/null; then \
		echo "skinapp needs Python 3.11, 3.12 or 3.13 with its venv module: found $(or $(PYTHON),none on the PATH)." >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/app.done: requirements.txt $(VENV)/created.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/train.done: requirements.txt requirements-train.txt $(VENV)/created.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-train.txt
	@touch $@ $(VENV)/app.done

$(VENV)/test.done: requirements.txt requirements-train.txt requirements-archive.txt requirements-test.txt $(VENV)/created.done
	@# Compiled where it is imported: most of what comes along never is, and pip would take a minute for it.
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -r requirements-test.txt
	@touch $@ $(VENV)/app.done $(VENV)/train.done

# requirements*.txt from pyproject.toml.
requirements: $(VENV)/test.done
	$(BIN)/python -m tests.requirements

# requirements.lock anew: every package that `make run` installs, by version and hash.
lock: requirements
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		requirements.txt -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
