# make train: digits from nothing. make test: the same set-up, then the tests. make repro: README's tables again. make zoo: the
# zoo's runs, two at a time, which repro would make one after the other.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train data repro zoo test lint clean

train: .venv/installed
	$(BIN)/python -m src.train model=mlp_gan

data: .venv/installed
	$(BIN)/python -m src.prepare -m data=mnist,fashion_mnist

# Every byte of the data is checked first: DVC would take wrong ones and write their hashes into data.dvc.
repro: data
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	$(BIN)/python -m src.readme

zoo: data
	PATH="$(CURDIR)/$(BIN):$$PATH"; export PATH; \
	dvc repro --glob 'zoo_evaluate@*-mnist-*' & dvc repro --glob 'zoo_evaluate@*-fashion_mnist-*'; wait
	$(BIN)/dvc repro zoo_report

test: .venv/installed lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Locked versions from the lock file; written last, so that an interrupted installation is taken up again.
.venv/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked dependencies (minutes and about 6 GB, most of it PyTorch)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
