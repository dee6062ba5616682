"""One server of the real command, and one real browser in front of it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, sync_playwright

from src.config.experiment import Experiment
from src.runs.export import save_safetensors
from src.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
BROWSERS = "chromium", "chromium-browser", "google-chrome"
FAMILY = "results/families"


def publish(config: dict[str, Any], folder: Path) -> Path:
    """The published folder of a run that ended before its first step. Its weights are random, so that every input counts."""
    experiment = Experiment(config)
    experiment.dataset.prepare()
    model = experiment.model(experiment.dataset.spec)
    with torch.no_grad():
        for parameter in model.network().parameters():
            parameter.normal_(0, 0.2, generator=torch.Generator().manual_seed(parameter.numel()))
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.write_config(config)
    ended = {"reason": "samples", "step": 0, "samples_seen": 0}
    run.begin_manifest(spec=model.spec.record(), data=experiment.dataset.hashes(), ended=ended)
    save_safetensors(model.network(), folder / "weights.safetensors", {"run": "a", "checkpoint": "b"})
    (folder / "samples.txt").write_text("none\n")
    return folder


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory, compose: Callable[..., dict[str, Any]]) -> Path:
    """A folder with results/: copies of published runs, a small flow of 8x8 digits, and a text model."""
    place = tmp_path_factory.mktemp("page")
    for name in ("results/mlp_gan", f"{FAMILY}/vae-mnist/0"):
        shutil.copytree(ROOT / name, place / name)
    tiny = ["debug=tiny", "trainer.threads=1"]
    publish(compose("model=flow", "data=digits", "model.conditional=true", *tiny), place / "results/digits/0")
    book = place / "book.txt"
    book.write_text("the quick brown fox jumps over the lazy dog\n" * 100)
    publish(
        compose("model=autoregressive", "data=text", f"data.path={book}", "data.length=24", *tiny), place / "results/text/0"
    )

    outside = shutil.copytree(ROOT / "results/mlp_gan", place / "outside")
    (place / "results/linked").symlink_to(outside, target_is_directory=True)
    shutil.copytree(outside, place / "results/leak", ignore=shutil.ignore_patterns("weights.safetensors"))
    (place / "results/leak/weights.safetensors").symlink_to(outside / "weights.safetensors")
    shutil.copytree(ROOT / "results/story_1_listing", place / "results/without_weights")
    (place / "secret.txt").write_text("a secret")
    (place / "results/film.gif").symlink_to(place / "secret.txt")
    return place


@pytest.fixture(scope="session")
def server(shipped: Path) -> Iterator[str]:
    """The address of `python -m src.play`, which Ctrl-C must end cleanly afterwards. Its folder of data is empty."""
    words = ["runs=[results]", "port=0", "open=false", "paths.data=nothing"]
    process = subprocess.Popen(
        [sys.executable, "-m", "src.play", *words],
        cwd=shipped,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    assert line.startswith("http://127.0.0.1:"), line + process.stderr.read()
    yield line.split()[0]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, ""), err
    assert "Traceback" not in err, err


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser ({', '.join(BROWSERS)}): make browser installs Debian's Chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Visitor:
    """visit("results/mlp_gan"): a page with that run open, without a network. At the end of a test `check` must hold.

    Tests share a browser window, because a new one costs a CPU second, except where they ask for their own or for options.
    """

    server: str
    chromium: Browser
    elsewhere: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shared: Page | None = None
    windows: list[BrowserContext] = field(default_factory=list)

    def __call__(self, run: str, tab: str | None = None, own: bool = False, **options: Any) -> Page:
        if own or options:
            page = self.window(options)
            self.windows.append(page.context)
        else:
            page = self.shared = self.shared or self.window({})
        page.goto("about:blank")
        page.goto(f"{self.server}/#{run}")
        page.locator("[role=option]").first.wait_for()
        if tab:
            page.locator(f"#tab-{tab}").click()
        return page

    def window(self, options: dict[str, Any]) -> Page:
        context = self.chromium.new_context(**{"locale": "en-US", "reduced_motion": "reduce", **options})
        context.set_default_timeout(60_000)
        context.route("**/*", self.only_here)
        page = context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self.note)
        return page

    def only_here(self, route: Route) -> None:
        if route.request.url.startswith(f"{self.server}/"):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()

    def note(self, message: ConsoleMessage) -> None:
        if "Content Security" in message.text:
            self.problems.append(message.text)

    def check(self) -> None:
        """No request went elsewhere, and no script failed."""
        for context in self.windows:
            context.close()
        self.windows.clear()
        found = self.elsewhere + self.problems
        self.elsewhere.clear()
        self.problems.clear()
        assert found == []


@pytest.fixture(scope="session")
def visitor(server: str, chromium: Browser) -> Visitor:
    return Visitor(server, chromium)


@pytest.fixture
def visit(visitor: Visitor) -> Iterator[Visitor]:
    yield visitor
    visitor.check()
