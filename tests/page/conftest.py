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
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from pictures import words_of_pictures
from src.config.experiment import Experiment
from src.runs.export import save_safetensors
from src.runs.folder import RunFolder

ROOT = Path(__file__).parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-extensions", "--renderer-process-limit=1"]
ARGUMENTS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # no network
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
    """A folder with results/: copies of published runs, a small flow of 8x8 digits, a text model, and one of captions."""
    place = tmp_path_factory.mktemp("page")
    for name in ("results/mlp_gan", f"{FAMILY}/vae-mnist/0", "results/poems/gpt/0", "results/pictures/pix2pix/0"):
        shutil.copytree(ROOT / name, place / name)
    tiny = ["debug=tiny", "trainer.threads=1"]
    publish(compose("model=flow", "data=digits", "model.conditional=true", *tiny), place / "results/digits/0")
    book = place / "book.txt"
    book.write_text("the quick brown fox jumps over the lazy dog\n" * 100)
    publish(
        compose("model=autoregressive", "data=text", f"data.path={book}", "data.length=24", *tiny), place / "results/text/0"
    )
    publish(compose("model=text_to_image", *words_of_pictures("text_to_image"), *tiny), place / "results/captions/0")

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
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/models'}",
            "AIGC_PACKAGES": "pictures",
        },
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
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """visit("results/mlp_gan"): a page with that run open. At the end of a test `check` must hold.

    Tests share a tab, because a new one costs a CPU second, except where they ask for a second or for options of a window.
    """

    server: str
    chromium: Browser
    elsewhere: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    shared: Page | None = None
    visits: int = 0
    opened: list[BrowserContext | Page] = field(default_factory=list)

    def __call__(self, run: str, tab: str | None = None, second: bool = False, **options: Any) -> Page:
        shared = self.shared = self.shared or self.window({})
        if options:
            page = self.window(options)
            self.opened.append(page.context)
        elif second:
            page = self.tab(shared.context)
            self.opened.append(page)
        else:
            page = shared
        self.visits += 1
        page.goto(
            f"{self.server}/?{self.visits}#{run}"
        )  # each time another address, because one that differs in # alone loads nothing
        page.locator("[role=option]").first.wait_for()
        if tab:
            page.locator(f"#tab-{tab}").click()
        return page

    def window(self, options: dict[str, Any]) -> Page:
        context = self.chromium.new_context(**{"locale": "en-US", "reduced_motion": "reduce", **options})
        context.set_default_timeout(60_000)
        return self.tab(context)

    def tab(self, context: BrowserContext) -> Page:
        page = context.new_page()
        page.on("request", self.look)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self.note)
        return page

    def look(self, request: Request) -> None:
        if not request.url.startswith((f"{self.server}/", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def note(self, message: ConsoleMessage) -> None:
        if "Content Security" in message.text:
            self.problems.append(message.text)

    def check(self) -> None:
        """No request went elsewhere, and no script failed."""
        for opened in self.opened:
            opened.close()
        self.opened.clear()
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
