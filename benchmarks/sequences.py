"""python -m benchmarks.sequences [--nanogpt CHECKOUT]: how fast text is drawn, and a minute of music drawn and rendered.

text     characters of a transformer in the sizes of nanoGPT's README for a CPU, and with four times the context: ours in the
         batches of 64 that sampling always has, nanoGPT's as its sample.py draws them, one text after another, and for short
         texts the same function for 64 at once. Both from random weights: the work is the same
music    samples of the shipped weights that last a minute, then MIDI, sound, roll, MusicXML and score of each

CPU time of this process: other programs may run meanwhile. nanoGPT's checkout: git clone https://github.com/karpathy/nanoGPT
"""

import functools
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import ours, timing
from benchmarks.family_trainers import DEPTH, HEADS, LENGTH, LETTERS, WIDTH
from src.models.symbols import SAMPLE_BATCH
from src.models.tune_length import Length
from src.runs.folder import RunFolder
from src.runs.load import load_run

FEW = 2  # texts that nanoGPT draws one after another
TEMPERATURE, TOP_K = 0.8, 200  # the defaults of sample.py
MINUTE = 10.0  # CPU seconds that a minute of music may take
REACH = {"nanoGPT's sample.py": 1 / 3}

PROTOCOL = """CPU time of the process, one thread: other programs ran on the machine meanwhile. Ways taken in turn, forwards and
backwards, medians over the rounds, ratios by the round; start-up left out. Text: 4 blocks of width 128 with 4 heads, random
weights, temperature 0.8, top_k 200; ours draws 64 texts in a batch with cached keys; nanoGPT's model.py draws one text after
another as its sample.py does, or 64 at once with the same function. Music: two tunes of 15 bars of 4/4 by results/tunes/gpt/0,
or five windows of four bars by results/tunes/chorales/0, each with all its five files encoded; no files are written."""


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--nanogpt", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args(words)
    timing.use_clock(cpu=True)
    rows = []
    for length in (LENGTH, 4 * LENGTH) if arguments.nanogpt else ():
        model = ours.build(ours.compose(*LETTERS, f"data.length={length}"))
        network = nanogpt(arguments.nanogpt, length, len(model.spec.x.names))
        one_by_one = functools.partial(generate, network, length, 1, FEW)
        ways = {
            "ours": functools.partial(
                rate, SAMPLE_BATCH * length, lambda model=model: model.sample(range(SAMPLE_BATCH), **HOW)
            ),
            "nanoGPT's sample.py": functools.partial(rate, FEW * length, one_by_one),
        }
        if length == LENGTH:  # it takes minutes for longer ones
            at_once = functools.partial(generate, network, length, SAMPLE_BATCH, 1)
            ways["its generate, 64 at once"] = functools.partial(rate, SAMPLE_BATCH * length, at_once)
        found = timing.alternate(ways, arguments.rounds, arguments.threads)
        rows += timing.compare(f"1,000 characters of texts of {length}", "CPU ms", found, REACH)
    tunes = timing.alternate({"folk": folk, "chorales": chorales}, arguments.rounds, arguments.threads)
    for name, seconds in tunes.items():
        rows.append(timing.Row(f"a minute of music, {name}", "CPU s", sorted(seconds)[len(seconds) // 2], reach=MINUTE))
    timing.report("sequences", PROTOCOL, rows, arguments)


HOW: dict[str, Any] = {"temperature": TEMPERATURE, "top_k": TOP_K}


def rate(symbols: int, work: Callable[[], Any]) -> float:
    """CPU milliseconds of a thousand symbols."""
    started = timing.now()
    work()
    return (timing.now() - started) * 1e6 / symbols


def nanogpt(checkout: Path, length: int, symbols: int) -> Any:
    """Its network with random weights."""
    where = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    assert where
    assert where.loader
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    sizes = {"n_layer": DEPTH, "n_head": HEADS, "n_embd": WIDTH, "block_size": length, "vocab_size": symbols, "bias": True}
    with timing.quiet():
        return module.GPT(module.GPTConfig(**sizes, dropout=0.0)).eval()


@torch.no_grad()
def generate(network: Any, length: int, batch: int, times: int) -> None:
    """The loop of sample.py: texts that begin with one symbol and have `length` more."""
    for _ in range(times):
        network.generate(torch.zeros(batch, 1, dtype=torch.int64), length, temperature=TEMPERATURE, top_k=TOP_K)


def folk() -> float:
    """CPU seconds of two tunes of half a minute."""
    model, modality = loaded("gpt")
    started, steps = time.process_time(), 15 * 16
    y = torch.full((2,), model.spec.classes.index("4/4 major"))
    render(modality, model.sample(range(2), {"y": y}, constraints=[Length(steps, model.spec)]), y)
    return time.process_time() - started


def chorales() -> float:
    """CPU seconds of five windows of twelve seconds."""
    model, modality = loaded("chorales")
    started = time.process_time()
    render(modality, model.sample(range(5)), None)
    return time.process_time() - started


def render(modality: Any, x: torch.Tensor, classes: torch.Tensor | None) -> None:
    tunes = modality.tunes(modality.finish(x), classes)
    assert sum(tune.steps * tune.step_seconds for tune in tunes) == 60
    for tune in tunes:
        for suffix in modality.formats:
            modality.encode(tune, suffix, {"model": "0" * 64})


@functools.cache
def loaded(name: str) -> tuple[Any, Any]:
    """The shipped model, and the modality of its data."""
    run = ours.ROOT / "results" / "tunes" / name / "0"
    model = load_run(run)
    return model, RunFolder.existing(run).experiment().modality(model.spec)


if __name__ == "__main__":
    main()
