# make train: digits from nothing. make test: the same set-up, then the tests. make repro: README's tables again. make zoo: the
# zoo's runs, two at a time, which repro would make one after the other.
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

# A process for each data set; DVC then takes up the finished runs, which it would make one after the other.
zoo: data
	for data in mnist fashion_mnist; do $(BIN)/python -m src.train -m seed=0,1,2,3,4 experiment=$(ZOO) data=$$data \
	    trainer.threads=1 'run_dir=runs/results/zoo/$${name}-$${data.name}/$${seed}' evaluate=false on_change=restart \
	    on_divergence=record & done; wait
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro zoo_report

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
