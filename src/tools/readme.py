"""python -m src.tools.readme: write the tables of README.md and of docs/ from the published results; the rest of a page stays.

The blocks between `<!-- NAME -->` and `<!-- /NAME -->` are replaced, in whichever page they stand: TABLE from results/mlp_gan,
STORY row by row (its second column stays), SEEDS, ZOO and others from results/seeds.md and so on, BINARY
likewise if it has been measured. Heads of tables become links to the glossary in docs/evaluation.md.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.system.files import read_json, write_atomic

COLUMNS = {"fd": 2, "kid": 3, "is": 2, "precision": 2, "recall": 2, "density": 2, "coverage": 2, "copies": 2}  # digits shown
RARE = "class_min_share"
GLOSSARY = Path("docs/evaluation.md")
TUNES = {"FD": "fd_tune-cnn-1", "nats": "nats-per-voice-step-frame-onset"}
# Head of a column, without arrows and marks -> heading of the glossary.
ANCHORS = {
    "FD": "fd",
    "KD": "kid",
    "KID": "kid",
    "IS": "is",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "copies": "copies",
    "rarest class": "rarest-class",
    "rarest digit": "rarest-class",
    "times the floor": "times-the-floor",
    "accuracy": "accuracy",
    "class FD": "class-fd",
    "bits / dim": "bits-per-dimension",
    "one further seed (95 %)": "one-further-seed",
    "nats": "nats-per-character",
    "perplexity": "nats-per-character",
    "FD of pairs": "fd_pairs",
    "MAUVE": "mauve",
    "structure": "structure-rhyme-tones",
    "rhyme": "structure-rhyme-tones",
    "tones": "structure-rhyme-tones",
    "distinct-2": "distinct-n",
    "self-BLEU": "self-bleu",
    "copied": "copied-near-copies",
    "near copies": "copied-near-copies",
    **dict.fromkeys(("nats / voice-step", "nats / frame", "nats / onset"), "nats-per-voice-step-frame-onset"),
    **dict.fromkeys(("overlap", "OA"), "overlap-and-oa"),
    **dict.fromkeys(("parallels", "crossings", "range"), "parallels-crossings-range"),
    **dict.fromkeys(("CTnCTR", "PCS", "MCTD"), "ctnctr-pcs-mctd"),
    **dict.fromkeys(("harmony: nats", "harmony: parallels"), "harmony"),
    "monotone": "monotone",
    **dict.fromkeys(("motif", "copied pieces"), "motif-copied"),
    "perceptual": "perceptual-distance",
    **dict.fromkeys(("PSNR", "L1", "PSNR of the hole", "L1 of the hole"), "psnr-and-l1"),
    "SSIM": "ssim",
    "edges": "edges",
    "selection gap": "selection-gap",
    "frame FD": "frame-fd",
    "trajectory": "trajectory",
    "identity": "identity",
    "bounces": "bounces",
    **dict.fromkeys(("digits", "speed", "motion"), "digits-speed-motion"),
    "group KD": "kid",
    **dict.fromkeys(("R-precision", "colour", "composition"), "r-precision-colour-composition"),
}


def readme(config: dict[str, Any]) -> dict[str, str]:
    """Fill the blocks of the config's pages, in their files. Returns page -> new text."""
    results, found = Path(config["results"]), {}
    for page in config["pages"]:
        path = Path(page)
        if not path.is_file():
            raise UserError(f"{path} is no file: run this in the repository's folder, or name other pages with pages=[...]")
        found[page] = filled(path.read_text(), results, path)
    for page, text in found.items():
        write_atomic(Path(page), text.encode())
        print(f"{page}: tables of {results}")
    return found


def filled(text: str, results: Path, page: Path) -> str:
    """The text of a page with all its blocks filled from the results; raises UserError if a result is missing.

    page: where the text stands, for links and pictures.
    """
    makers: dict[str, Callable[[str], str]] = {
        "TABLE": lambda _: table(record(results / "mlp_gan"), page),
        "STORY": lambda rows: story(rows, results, page),
        "SEEDS": lambda _: read(results / "seeds.md"),
        "ZOO": lambda _: read(results / "zoo.md"),
        "FAMILIES": lambda _: read(results / "families.md"),
        "POEMS": lambda _: linked(read(results / "poems.md"), page, ANCHORS | {"FD": "fd_quatrain-cnn-1"}),
        "TUNES": lambda _: linked(read(results / "tunes.md"), page, ANCHORS | TUNES),
        "PICTURES": lambda _: read(results / "pictures.md"),
        "CAPTIONS": lambda _: read(results / "captions.md"),
        "CLIPS": lambda _: linked(read(results / "clips.md"), page, ANCHORS | {"FD": "fd_clip-cnn-1"}),
        "BINARY": lambda text: read(path) if (path := results / "binary.md").is_file() else text,
    }
    for name, make in makers.items():
        if f"<!-- {name} -->" in text:
            text = replace_block(text, name, lambda rows, make=make: linked(make(rows), page))
    return text


def relative(target: Path, page: Path) -> str:
    """The path of a file as a link from a page."""
    return Path(os.path.relpath(target, page.parent)).as_posix()


def linked(text: str, page: Path, anchors: Mapping[str, str] = ANCHORS) -> str:
    """The text with a link to the glossary in each head of a table that the glossary explains.

    Tables that have links already stay as they are.
    """
    lines = text.splitlines()
    for index, line in enumerate(lines[1:]):
        if re.fullmatch(r"\|[-:| ]+\|", line) and "](" not in lines[index]:
            lines[index] = "|".join(link(cell, page, anchors) for cell in lines[index].split("|"))
    return "\n".join(lines)


def link(cell: str, page: Path, anchors: Mapping[str, str]) -> str:
    """ " precision ↑ † " to " [precision](...#precision) ↑ † "."""
    parts = re.fullmatch(r"( *)(.*?)((?: [↑↓†‡§¶]+)* *)", cell)
    assert parts
    name = "FD" if parts[2].startswith("fd_") and " " not in parts[2] else parts[2]
    if name not in anchors:
        return cell
    return f"{parts[1]}[{parts[2]}]({relative(GLOSSARY, page)}#{anchors[name]}){parts[3]}"


def replace_block(text: str, name: str, make: Any) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise UserError(f"the page has no block <!-- {name} --> ... <!-- /{name} -->: put it where its table shall stand")
    return pattern.sub(lambda match: match[1] + make(match[2]).strip() + "\n" + match[3], text)


def read(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"{path} is missing: make repro makes it")
    return path.read_text()


def record(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    read(path)
    result = read_json(path, "make repro makes it again")
    if missing := {"metrics", "controls", "protocol"} - result.keys():
        raise UserError(f"{path} has no {' and no '.join(sorted(missing))}: make repro makes it again")
    return result


def table(result: dict[str, Any], page: Path) -> str:
    """A Markdown table of one run and its controls."""
    extractor, controls = result["protocol"]["extractor"], result["controls"]
    rows = {
        "**model=mlp_gan**": result["metrics"],
        "the same, weights not averaged": result["raw"],
        "real: training images (floor)": controls["real"],
        "copies of training images": controls["training_copies"],
        "noise (ceiling)": controls["noise"],
    }
    samples = f"{result['protocol']['samples']:,} images"
    lines = [
        f"| {samples} | fd_{extractor} | KID | IS | precision | recall | density | coverage | copies |",
        "|-|" + "-:|" * len(COLUMNS),
    ]
    for label, values in rows.items():
        cells = (f"{values[f'{name}_{extractor}']:.{digits}f}" for name, digits in COLUMNS.items())
        lines.append(f"| {label} | {' | '.join(cells)} |")
    times = result["metrics"][f"fd_{extractor}"] / controls["real"][f"fd_{extractor}"]
    return "\n".join(lines) + (
        f"\n\nOne seed, MNIST test split, features of the digit classifier. The distance is {times:.1f} times\n"
        f"[the floor]({relative(GLOSSARY, page)}#times-the-floor). The records name each metric with `_{extractor}`."
    )


def story(rows: str, results: Path, page: Path) -> str:
    """The existing rows, with numbers and pictures of the experiments in their first column."""
    lines = rows.strip().splitlines()
    return "\n".join([*lines[:2], *(story_row(line, results, page) for line in lines[2:])])


def story_row(line: str, results: Path, page: Path) -> str:
    """| `experiment` | what it adds | distance | times the floor | share of the rarest class | picture |"""
    name, adds = (cell.strip() for cell in line.split("|")[1:3])
    experiment = name.strip("`")
    result = record(results / experiment)
    extractor = result["protocol"]["extractor"]
    distance, floor = (part[f"fd_{extractor}"] for part in (result["metrics"], result["controls"]["real"]))
    rare = result["metrics"][f"{RARE}_{extractor}"]
    source = relative(results / experiment / "samples.png", page)
    picture = f'<img src="{source}" width="160">'
    return f"| {name} | {adds} | {distance:.2f} | {distance / floor:.0f} | {rare:.1%} | {picture} |".replace("%", " %")


if __name__ == "__main__":
    command_line.run("readme", readme)
