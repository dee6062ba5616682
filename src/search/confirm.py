"""The winner of a sweep and the base recipe, trained on seeds that the search never saw, and measured on the test split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from src.run import RunFolder
from src.search.jobs import Job

WORDS = ("evaluate=true", "on_divergence=record")  # a seed that diverges counts, and does not end the confirmation


class ConfirmJob(Job):
    """One seed of one recipe."""

    def __init__(self, confirmation: "Confirmation", name: str, seed: int, words: Sequence[str]) -> None:
        super().__init__(confirmation.path(name) / str(seed), [*words, *WORDS, f"seed={seed}"])
        self.confirmation, self.name, self.seed = confirmation, name, seed

    def finish(self) -> None:
        reason = self.failure()
        if reason is not None and not is_done(self.run):
            self.confirmation.failures.append(f"{self.run.path}: {reason}")
        metrics = (self.run.result() or {}).get("metrics", {})
        score = next((f"{key} {value:.4g}" for key, value in metrics.items() if key == "fid" or key.startswith("fd_")), reason)
        print(f"{self.name}  seed {self.seed}  {score}", flush=True)


class Confirmation:
    """What is missing of the runs <folder>/confirm/<recipe>/<seed>; commands that share the folder share them too.

    recipes: name -> words of `python -m src.train`.
    """

    def __init__(self, folder: Path, recipes: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> None:
        self.folder, self.recipes = folder, recipes
        self.failures: list[str] = []
        self._left = [(name, seed) for seed in seeds for name in recipes]

    def path(self, name: str) -> Path:
        return self.folder / "confirm" / name

    def next_job(self) -> ConfirmJob | None:
        self._left = [(name, seed) for name, seed in self._left if not is_done(RunFolder(self.path(name) / str(seed)))]
        for name, seed in self._left:
            job = ConfirmJob(self, name, seed, self.recipes[name])
            if job.claim():
                self._left.remove((name, seed))
                return job
        return None

    def waiting(self) -> bool:
        """Whether other commands are still at some."""
        return bool(self._left)


def is_done(run: RunFolder) -> bool:
    ended = run.manifest().get("ended", {})
    return ended.get("reason") == "diverged" or (bool(ended) and run.result() is not None)
