"""python -m benchmarks [--only train_step startup ...] [--mimicry PATH ...]: all benchmarks, one table.

Each script runs in its own process, one after the other. --recipes is for benchmarks.train_step, --cpu for it and the peers;
options that are not listed below go to benchmarks.peers, left out without a checkout; --nanogpt to benchmarks.sequences too.
Writes benchmarks/results.json and benchmarks/results.md, which docs/speed.md quotes; parts that are not run stay as they were.
Run nothing else on the machine meanwhile, or take --cpu: it would change the figures.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.timing import table
from src.config.errors import UserError
from src.system.files import check_writable

HERE = Path(__file__).parent
SCRIPTS = ("startup", "train_step", "peers", "evaluation", "sampling", "sequences", "gpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS)
    parser.add_argument("--out", type=Path, default=HERE / "results", help="without the endings .json and .md")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", help="for train_step, e.g. model=vae 'model=autoregressive data=mnist'")
    parser.add_argument("--note", default="", help="added to the records' protocols, e.g. what else the machine did")
    timing.add_cpu(parser)
    arguments, checkouts = parser.parse_known_args()
    nanogpt = checkouts[(at := checkouts.index("--nanogpt")) : at + 2] if "--nanogpt" in checkouts else []
    if checkouts and "peers" not in arguments.only and (checkouts != nanogpt or "sequences" not in arguments.only):
        parser.error(f"unrecognized arguments: {' '.join(checkouts)}")
    if arguments.threads < 1:
        parser.error(f"--threads {arguments.threads}: must be at least 1")
    try:
        check_writable(arguments.out.parent, "--out")
    except UserError as error:
        parser.error(str(error))
    path = arguments.out.with_suffix(".json")
    records = json.loads(path.read_text()) if path.is_file() else {}
    cpu = ["--cpu"] if arguments.cpu else []
    words = {
        "peers": [*cpu, *checkouts],
        "sequences": nanogpt,
        "train_step": [*cpu, *(["--recipes", *arguments.recipes] if arguments.recipes else [])],
    }
    failed = []
    for name in arguments.only:
        if name == "peers" and not checkouts:
            print("peers: left out, no checkout is named (see python -m benchmarks.peers --help)", file=sys.stderr)
            continue
        started = time.perf_counter()
        record = run(name, "--threads", str(arguments.threads), "--note", arguments.note, *words.get(name, ()))
        if record:
            records[name] = record
            path.write_text(json.dumps(records, indent=2) + "\n")
            arguments.out.with_suffix(".md").write_text(markdown(records))
        elif record is None:
            failed.append(name)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; their tables are as before")


def run(name: str, *words: str) -> dict[str, Any] | None:
    """A script's record; empty if it had nothing to measure, None if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.json")
        threads = words[words.index("--threads") + 1]
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(path), *words]
        if subprocess.run(command, cwd=HERE.parent, env=environment).returncode:
            return None
        return json.loads(path.read_text()) if path.is_file() else {}


def markdown(records: dict[str, Any]) -> str:
    """All tables, each with its machine, date and protocol."""
    parts = ["Ratios are ours / theirs: below 1, ours is faster, or takes less. Made by `python -m benchmarks`."]
    for name in (name for name in SCRIPTS if name in records):
        record = records[name]
        machine, settings = record["machine"], record["settings"]
        versions = ", ".join(f"{package} {version}" for package, version in machine["packages"].items())
        # Early records have no cpu_model.
        details = filter(None, (machine.get("cpu_model"), machine["cpu_capability"], f"{settings['threads']} thread(s)"))
        device = machine["cuda"] or f"{machine['cpu']} ({', '.join(details)})"
        made = f"{record['date']}, commit {record['commit'][:8]}, {device}, Python {machine['python']}, {versions}"
        parts += [f"### {name}", f"{made}; {settings['rounds']} rounds. {record['protocol']}", table(record["rows"])]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
