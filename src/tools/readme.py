"""python -m src.tools.readme: write the tables of README.md from the published results; the rest of it stays.

The blocks between `<!-- NAME -->` and `<!-- /NAME -->` are replaced: TABLE from results/mlp_gan, STORY row by row (its second
column stays), SEEDS and ZOO from results/seeds.md and results/zoo.md.
"""

import re
from pathlib import Path
from typing import Any

from src.config import command_line
from src.config.errors import UserError
from src.system.files import read_json, write_atomic

COLUMNS = {"fd": 2, "kid": 3, "is": 2, "precision": 2, "recall": 2, "density": 2, "coverage": 2, "copies": 2}  # digits shown
RARE = "class_min_share"


def readme(config: dict[str, Any]) -> str:
    """Fill the blocks of a README, in its file. Returns the new text."""
    path, results = Path(config["readme"]), Path(config["results"])
    if not path.is_file():
        raise UserError(f"readme={path} is no file: run this where README.md lies, or name another with readme=")
    text = filled(path.read_text(), results)
    write_atomic(path, text.encode())
    print(f"{path}: tables of {results}")
    return text


def filled(text: str, results: Path) -> str:
    """README's text with all blocks filled from the results; raises UserError if a result is missing."""
    text = replace_block(text, "TABLE", lambda _: table(record(results / "mlp_gan")))
    text = replace_block(text, "STORY", lambda rows: story(rows, results))
    text = replace_block(text, "SEEDS", lambda _: read(results / "seeds.md"))
    return replace_block(text, "ZOO", lambda _: read(results / "zoo.md"))


def replace_block(text: str, name: str, make: Any) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise UserError(f"README has no block <!-- {name} --> ... <!-- /{name} -->: put it where its table shall stand")
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


def table(result: dict[str, Any]) -> str:
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
        f"\n\nOne seed, MNIST test split, features of the digit classifier (all names carry `_{extractor}`, see below).\n"
        f"The distance is {times:.1f} times the floor."
    )


def story(rows: str, results: Path) -> str:
    """The existing rows, with numbers and pictures of the experiments in their first column."""
    lines = rows.strip().splitlines()
    return "\n".join([*lines[:2], *(story_row(line, results) for line in lines[2:])])


def story_row(line: str, results: Path) -> str:
    """| `experiment` | what it adds | distance | times the floor | share of the rarest class | picture |"""
    name, adds = (cell.strip() for cell in line.split("|")[1:3])
    experiment = name.strip("`")
    result = record(results / experiment)
    extractor = result["protocol"]["extractor"]
    distance, floor = (part[f"fd_{extractor}"] for part in (result["metrics"], result["controls"]["real"]))
    rare = result["metrics"][f"{RARE}_{extractor}"]
    picture = f'<img src="{(results / experiment).as_posix()}/samples.png" width="160">'
    return f"| {name} | {adds} | {distance:.2f} | {distance / floor:.0f} | {rare:.1%} | {picture} |".replace("%", " %")


if __name__ == "__main__":
    command_line.run("readme", readme)
