# make train: digits from nothing. make test: the same set-up, then the tests. make repro: README's tables again. make -j2
# zoo: the zoo's table, two runs at a time.
PYTHON ?= python3
BIN := .venv/bin
ZOO := zoo_cdcgan,zoo_dcgan,zoo_mlp_gan,zoo_cgan_pd,zoo_sngan,zoo_r3gan

.PHONY: train data repro zoo test lint clean

train: .venv/installed
	$(BIN)/python -m src.train model=mlp_gan

data: .venv/installed
	$(BIN)/python -m src.prepare -m data=mnist,fashion_mnist

# Every byte of the data is checked first: DVC would take wrong ones and write their hashes into data.dvc.
repro: data
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	$(BIN)/python -m src.readme

# Finished runs first, which DVC then takes up: it would make them one after the other.
zoo: zoo-mnist zoo-fashion_mnist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro zoo_report

zoo-%: data
	$(BIN)/python -m src.train -m seed=0,1,2,3,4 experiment=$(ZOO) data=$* trainer.threads=1 evaluate=false \
	    'run_dir=runs/results/zoo/$${name}-$${data.name}/$${seed}' on_change=restart on_divergence=record

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
