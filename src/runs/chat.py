"""A conversation in the terminal with a model that reads a source."""

import contextlib
import sys
from typing import Any

from src.config.errors import UserError
from src.runs import filters
from src.runs.folder import RunFolder
from src.runs.prompts import read_as, source_condition, typed
from src.runs.sampling import condition, sampling_settings

LEFT_OUT = "(left out by the filter)"


def chat(config: dict[str, Any]) -> None:
    """Answer each line of stdin with one sample, until its end or Ctrl-C. The k-th answer has seed + k.

    config: of src.generate, with its settings of sampling and of text.
    """
    judges = filters.asked(config)
    from src.runs.load import load_run

    run = RunFolder.existing(config["run"])
    experiment, model = run.experiment(), load_run(run.path, config["checkpoint"])
    if "source" not in getattr(model, "conditions", lambda _: ())([0]):
        raise UserError(
            f"{experiment.name} reads no source, so that it cannot answer: leave chat=true out, or take data=dialogue"
        )
    sample, modality, *_ = typed(model, experiment.modality(model.spec), config)
    for judge in judges:
        judge.prepare(modality)
    settings, seed = sampling_settings(config, model.sample), config["seed"]
    cond = condition(model, config["class"], 1) or {}
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        while True:
            line = input("> " if sys.stdin.isatty() else "").strip()
            if not line:
                continue
            try:
                source = source_condition(model, modality, read_as(modality, "source", line), 1)
                answer = sample([seed], source | cond, **settings)
            except UserError as error:
                print(error, file=sys.stderr)
                continue
            tokens = modality.finish(answer)  # [1, T]
            rejected = any(judge.rejects(tokens, modality)[0] for judge in judges)
            print(LEFT_OUT if rejected else modality.text(tokens[0]), flush=True)
            seed += 1
    if sys.stdin.isatty():
        print()
