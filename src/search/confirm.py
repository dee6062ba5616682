"""The winner of a sweep and the base recipe, trained on seeds that the search never saw, and measured on the test split."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.config.checks import short_hash
from src.config.errors import UserError
from src.runs.folder import RunFolder
from src.search.jobs import Job

WORDS = ("evaluate=true", "on_divergence=record")  # a seed that diverges counts, and does not end the confirmation


class ConfirmJob(Job):
    """One seed of one recipe."""

    def __init__(self, confirmation: "Confirmation", name: str, seed: int) -> None:
        words = [*confirmation.recipes[name], *WORDS, f"seed={seed}"]
        super().__init__(confirmation.folder / "confirm" / name / str(seed), words)
        self.confirmation, self.name, self.seed = confirmation, name, seed

    def finish(self) -> None:
        reason = self.failure()
        if reason is not None and not self.run.complete(self.confirmation.configs[self.name]):
            self.confirmation.failures.append(f"{self.run.path}: {reason}")
        metrics = (self.run.result() or {}).get("metrics", {})
        score = next((f"{key} {value:.4g}" for key, value in metrics.items() if key == "fid" or key.startswith("fd_")), reason)
        print(f"{self.name}  seed {self.seed}  {score}", flush=True)


class Confirmation:
    """The runs <folder>/confirm/<recipe>/<seed>, and what is missing of them; commands that share the folder share them too.

    recipes: name -> words of `python -m src.train`. compose: such words -> their plain config.
    """

    def __init__(
        self,
        folder: Path,
        recipes: Mapping[str, Sequence[str]],
        seeds: Sequence[int],
        compose: Callable[[Sequence[str]], Mapping[str, Any]],
    ) -> None:
        self.folder, self.recipes = folder, recipes
        self.failures: list[str] = []
        self.configs = {name: compose([*words, *WORDS]) for name, words in recipes.items()}
        self._left = [(name, seed) for seed in seeds for name in recipes]

    def begun(self) -> list[Path]:
        """Folders of these recipes' runs, once each has some; what another sweep left under the same name is passed over."""
        found = []
        for name, config in self.configs.items():
            paths = (path.parent for path in (self.folder / "confirm" / name).glob("*/manifest.json"))
            found.append([path for path in paths if path.name.isdecimal() and recipe_of(RunFolder(path)) == short_hash(config)])
        return [path for paths in found for path in paths] if all(found) else []

    def next_job(self) -> ConfirmJob | None:
        for name, seed in list(self._left):
            job, config = ConfirmJob(self, name, seed), self.configs[name]
            if self._is_done(job.run, name):
                self._left.remove((name, seed))
            elif job.claim() and job.begin_anew({**config, "seed": seed}):
                self._left.remove((name, seed))
                return job
        return None

    def left(self) -> bool:
        """Whether any has still to be made."""
        return not all(self._is_done(ConfirmJob(self, name, seed).run, name) for name, seed in self._left)

    def _is_done(self, run: RunFolder, name: str) -> bool:
        return recipe_of(run) == short_hash(self.configs[name]) and run.complete(self.configs[name])

    def waiting(self) -> bool:
        """Whether other commands are still at some."""
        return bool(self._left)


def recipe_of(run: RunFolder) -> str | None:
    """The hash of a run's config; None of a damaged run."""
    try:
        run.manifest()
        run.result()
        return short_hash(run.config())
    except UserError:
        return None
