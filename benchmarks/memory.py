"""python -m benchmarks.memory: peak memory of training on ten times as many images, memory-mapped, against the small set.

The same updates of model=mlp_gan on MNIST's 55,000 training images and on 550,000 (MNIST ten times over, in one idx file), each
in a process of its own, MiB:

peak       ru_maxrss: all memory that was resident at once. Pages of the mapped file count, though the system may take them back
           at any time and keeps them once for all processes
anonymous  the greatest RssAnon, looked at after each block of updates (Linux): memory that is the process's own
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import timing

ROOT = Path(__file__).parent.parent
PROTOCOL = """Each training in a process of its own, in turn, forwards and backwards, medians over the rounds, ratios by the
round; the same number of updates of model=mlp_gan W&B offline. peak: ru_maxrss, pages of the mapped
file included. anonymous: the greatest RssAnon, looked at between blocks of updates."""


def anonymous() -> float:
    """MiB of the process's own resident memory; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


def train(folder: Path, times: int, updates: int) -> None:
    """Train, and print what it took: the child's side."""
    from benchmarks import ours

    words = [
        f"data.source.folder={folder}",
        "data.source._target_=benchmarks.data.RepeatedMNIST",
        f"+data.source.times={times}",
    ]
    most: list[float] = []
    ours.milliseconds(ours.compose("model=mlp_gan", *words), updates, 1, lambda: most.append(anonymous()))
    unit = 1024 if sys.platform == "linux" else 1024**2  # of ru_maxrss: KiB on Linux, bytes on macOS
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, "anonymous": max(most)}))


def main(words: list[str] | None = None) -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--times", type=int, default=10, help="as many images as the small set has")
    parser.add_argument("--updates", type=int, default=3000, help="enough to touch nearly all of the file's pages")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.child:
        train(arguments.child, arguments.times, arguments.updates)
    else:
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    from benchmarks.data import RepeatedMNIST

    sizes = {f"{55_000 * times:,} images": times for times in (1, arguments.times)}
    small, big = sizes
    anonymous_found: dict[str, list[float]] = {name: [] for name in sizes}
    with tempfile.TemporaryDirectory() as folder:

        def measure(name: str) -> float:
            options = {"child": Path(folder, str(sizes[name])), "times": sizes[name], "updates": arguments.updates}
            words = [f"--{key}={value}" for key, value in (options | {"threads": arguments.threads}).items()]
            environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
            child = [sys.executable, "-m", "benchmarks.memory", *words]
            answer = subprocess.run(child, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(answer.stdout.splitlines()[-1])
            anonymous_found[name].append(found["anonymous"])
            return found["peak"]

        for times in sizes.values():
            RepeatedMNIST(Path(folder, str(times)), times).write(ROOT / "data" / "mnist")
        found = timing.alternate(
            {name: functools.partial(measure, name) for name in sizes}, arguments.rounds, arguments.threads
        )
    rows = [
        row
        for name, values in (("peak", found), ("anonymous", anonymous_found))
        if all(values[small])
        for row in timing.compare(f"memory of training on {big}, {name}", "MiB", values, {small: 1.1}, ours=big)
    ]
    timing.report("memory", PROTOCOL, rows, arguments)


if __name__ == "__main__":
    main()
