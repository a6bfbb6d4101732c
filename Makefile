PYTHON ?= python3
BIN := .venv/bin
QUICK := results/bench-quick

.PHONY: demo test test-slow test-matrix contract fuzz sweep kills lint format docs clean bench \
	bench-quick bench-practice bench-test

demo: .venv/demo
	$(BIN)/python examples/quickstart.py

# Every contract once: nine minutes on two cores.
test: .venv/ready
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4

# The rest, as `tests/helpers/fast.py` tells them apart: about half an hour.
test-slow: .venv/ready
	$(BIN)/python -m pytest -m slow -n auto --maxprocesses 4

# Builds wheel and sdist, installs them into new environments and runs all tests there.
# Needs all Pythons that pyproject.toml claims on the path; about an hour.
test-matrix: .venv/ready
	rm -rf dist .matrix *.egg-info
	$(BIN)/python -m build
	mkdir -p .matrix/source
	tar -xf dist/*.tar.gz -C .matrix/source --strip-components 1
	rm -r .matrix/source/keras_fuzzyhess .matrix/source/tuner
	$(BIN)/tox run -e bare --installpkg dist/*.tar.gz
	$(BIN)/tox run --recreate --installpkg dist/*.whl

contract: .venv/ready
	@$(BIN)/python -m tests.contract

# The fuzz tests with all their examples: three quarters of an hour.
fuzz: .venv/ready
	FUZZ=whole $(BIN)/python -m pytest tests/fuzzing

# Trains with every layer, loss, callback and argument of Keras; the other two with a sample.
sweep: .venv/ready
	SWEEP=whole $(BIN)/python -m pytest tests/sweep -n auto --maxprocesses 4 -q --tb=line

# Kills a training forty times and compares what goes on: a quarter of an hour.
kills: .venv/ready
	$(BIN)/python -m tests.helpers.kill_and_resume

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pages of docs/ and the API reference as a site: site/index.html. Takes seconds.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

# Runs what is missing in benchmarks/results/workloads: delete it to run all again.
bench: .venv/ready
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.report

# The test set, on which nothing is chosen: what is missing in benchmarks/results/unseen.
bench-test: .venv/ready
	$(BIN)/python -m benchmarks --set unseen
	$(BIN)/python -m benchmarks.report --set unseen

bench-quick: .venv/ready
	$(BIN)/python -m benchmarks --output $(QUICK) --seeds 1 \
		--workloads quadratic mnist_1d regression \
		--contestants sgd adam adamw fuzzyhess fuzzyhess/4 "fuzzyhess*4"
	$(BIN)/python -m benchmarks.report --output $(QUICK) --picture $(QUICK)/benchmark.png

# Runs what is missing in benchmarks/results/practice.jsonl: three quarters of an hour.
bench-practice: .venv/ready
	$(BIN)/python -m benchmarks.practice
	$(BIN)/python -m benchmarks.practice.report

# Made when there is none, and again only when the declared dependencies changed: what the
# demo needs, or all.
.venv/demo: pyproject.toml
	@echo "Installing TensorFlow, Keras and what the demo needs, once. It may take some minutes."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable ".[quickstart]"
	@touch $@

.venv/ready: pyproject.toml
	@echo "Installing all that tests, examples, benchmarks and docs need, once."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet \
		--editable ".[benchmarks,dev,docs,examples,imagenet,optuna,plots,tuner]"
	touch .venv/demo $@

clean:
	rm -rf .venv .matrix build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
