# make play: a page that draws from the shipped weights. make train: digits from nothing. make test: the same set-up, then the
# tests (make browser gets what those of the page need). make tables: the tables of README and docs/ from results/. make repro:
# results/ again. make -j2 zoo: the zoo's results, two runs at a time.
PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
# <model>-<data>-<seed>, a seed of every model before the next
ZOO := $(foreach seed,0 1 2 3 4,$(foreach data,mnist fashion_mnist,\
    $(foreach model,cdcgan dcgan mlp_gan cgan_pd sngan r3gan,$(model)-$(data)-$(seed))))

.PHONY: play browser train data fingerprints tables listen repro zoo test test-slow lint clean

play: .venv/installed
	$(BIN)/python -m src.play

# Debian's Chromium, which the tests of the page drive.
browser:
	command -v chromium || command -v chromium-browser || command -v google-chrome || \
	{ $(SUDO) apt-get update && $(SUDO) apt-get install --yes --no-install-recommends chromium; }

train: .venv/installed
	$(BIN)/python -m src.train model=mlp_gan

data: .venv/installed
	$(BIN)/python -m src.prepare -m data=mnist,fashion_mnist,poems,folk,chorales,emoji_pairs

# Every byte of the data is checked first: DVC would take wrong ones and write their hashes into data.dvc.
repro: data
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro
	$(BIN)/python -m src.tools.readme
	$(BIN)/python -m src.tools.cards
	$(BIN)/python -m src.tools.families

# From what is committed in results/: needs no data and trains nothing.
tables: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro --single-item seeds_table zoo_table families_table binary_table poems_table tunes_table pictures_table clips_table
	$(BIN)/python -m src.tools.readme
	$(BIN)/python -m src.tools.cards
	$(BIN)/python -m src.tools.families

# The pictures and sounds of docs/music.md and the READMEs, from shipped weights.
listen: .venv/installed
	rm -rf docs/music
	$(BIN)/python -m src.generate run=results/tunes/gpt/0 n=4 out=docs/music/gpt.png
	$(BIN)/python -m src.generate run=results/tunes/gpt/0 class="4/4 major" bars=4 tempo=160 out=docs/music/gpt.wav
	$(BIN)/python -m src.generate run=results/tunes/gpt/0 class="4/4 major" lyrics=春眠不觉晓，处处闻啼鸟 out=docs/music/words.svg
	$(BIN)/python -m src.generate run=results/tunes/chorales/0 bars=2 out=docs/music/chorales.wav
	$(BIN)/python -m src.generate run=results/tunes/chorales/0 bars=2 out=docs/music/chorales.svg
	for run in gpt chorales; do for seed in 0 1 2; do \
	$(BIN)/python -m src.generate run=results/tunes/$$run/0 seed=$$seed out=docs/music/$$run-$$seed.mid; done; done
	rm docs/music/*.json

# What each recipe does by the code as it is, and the tables of the results as they are. FORCE=--force after a new stage.
fingerprints: data
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro --single-item $(FORCE) fingerprints
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro --single-item seeds_table zoo_table families_table binary_table poems_table metrics

# DVC by itself makes one after the other, and its lock is held between commands only.
zoo: $(addprefix zoo-,$(ZOO))
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro zoo_table

zoo-%: data
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc --wait-for-lock repro --single-item zoo@$*

test: .venv/installed lint
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

# Exhaustive loops: every model at every number of processes, kills at many moments.
test-slow: .venv/installed
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m slow

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
