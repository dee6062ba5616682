"""README and docs/: every command composes, each kind of command runs in a small setting, every link leads somewhere.

docs/extending.md has its own test, which runs all of it: tests/test_extending.py.
"""

import copy
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from src.config import command_line
from src.config.checks import plain
from src.config.experiment import Experiment
from src.config.structure import check_structure

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")])
ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
FOLLOWED = "extending"  # pages by this name are followed to the letter elsewhere
MAKEFILE = (ROOT / "Makefile").read_text()

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"-m src\.([\w.]+)(.*)")
# What else stands in a block of commands.
OTHERS = {".", "apt-get", "cd", "code=$?", "dvc", "echo", "exit", "export", "if", "pip", "sbatch", "sudo"}
RUN = "$RUN"  # stands for a run folder of the reader's

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Command(NamedTuple):
    """`python -m src.<module> <words>`."""

    module: str
    words: tuple[str, ...]


def lines(page: Path) -> list[list[str]]:
    """The words of each line in the page's blocks of commands, without comments."""
    blocks = [code for language, code in FENCE.findall(page.read_text()) if language == "bash"]
    return [words for block in blocks for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def commands(page: Path) -> list[Command]:
    """The page's commands of this repository, those that torchrun and srun start too."""
    found = (COMMAND.search(shlex.join(words)) for words in lines(page))
    return [Command(match[1], tuple(shlex.split(match[2]))) for match in found if match]


def one_by_one(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The command lines that Hydra's -m makes of one: the first, and one for each further choice of a config group."""
    if "-m" not in words:
        yield words
        return
    values = [re.split(r",(?![^\[{]*[\]}])", word) for word in words if word != "-m"]
    first = tuple(value[0] for value in values)
    yield first
    for place, (word, *others) in enumerate(values):
        if (key := word.partition("=")[0]) in command_line.groups():
            yield from ((*first[:place], f"{key}={other}", *first[place + 1 :]) for other in others)


@cache
def chosen(name: str, groups: tuple[str, ...]) -> DictConfig:
    """Hydra's config of a command with these choices of config groups. It takes half a CPU second: pages share them."""
    return command_line.composed(name, groups)


def applied(name: str, words: tuple[str, ...]) -> DictConfig:
    """As `command_line.composed`: words key=value, read by Hydra's parser, change the config that the others choose."""
    parsed = OverridesParser.create().parse_overrides([command_line.quoted(word, name) for word in words])
    known = command_line.groups()
    own = [each for each in parsed if each.type == OverrideType.CHANGE and not {"/", "@"} & {*each.key_or_group}]
    own = [each for each in own if each.key_or_group not in known and not each.key_or_group.startswith("hydra.")]
    others = tuple(word for word, each in zip(words, parsed, strict=True) if each not in own)
    config = copy.deepcopy(chosen(name, others))
    for each in own:
        OmegaConf.update(config, each.key_or_group, each.value(), merge=True)
    return config


@cache
def compose(module: str, words: tuple[str, ...]) -> dict[str, Any]:
    """The config of a command line; raises what the command line would report."""
    name = module.split(".")[-1]
    command_line.check_groups(words)
    found = applied(name, words)
    check_structure(name, OmegaConf.to_container(found), None)  # type: ignore[arg-type]
    config = plain(found)
    if name == "train":
        Experiment(config)
    return config


@each_page
def test_every_command_composes(page: Path) -> None:
    if page.name.startswith(FOLLOWED):
        return
    for module, words in commands(page):
        assert (ROOT / "src" / f"{module.replace('.', '/')}.py").is_file(), module
        asked = tuple("quick=true" if word == "--quick" else word for word in words if word != "--help")
        for line in one_by_one(asked):
            try:
                compose(module, line)
            except Exception as error:
                raise AssertionError(f"python -m src.{module} {shlex.join(line)}: {error}") from error


@each_page
def test_other_lines_are_known_and_make_has_their_targets(page: Path) -> None:
    for words in lines(page):
        if words[0] == "make":
            for target in (word for word in words[1:] if re.fullmatch(r"[a-z][\w-]*", word)):
                assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target}"
        elif not COMMAND.search(shlex.join(words)) and not re.fullmatch(r"[A-Z]+=\S+", words[0]):
            own = words[:2] == ["python", "-m"] and page.name.startswith(FOLLOWED)
            assert own or words[0] in OTHERS, shlex.join(words)


@each_page
def test_blocks_are_shell_scripts_and_hide_no_command(page: Path) -> None:
    for language, code in FENCE.findall(page.read_text()):
        if language == "bash":
            answer = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True)
            assert answer.returncode == 0, answer.stderr
        elif not (language == "text" and page.parent.name == "notebooks"):  # those are what an executed notebook printed
            assert "python -m src" not in code or language == "python", "its commands would not be checked: write ```bash"


def test_make_in_readme_comes_in_the_order_in_which_people_want_it() -> None:
    makes = [words[1] for words in lines(ENGLISH) if words[0] == "make"]
    assert makes[:3] == ["play", "train", "test"]
    assert len(ENGLISH.read_text().splitlines()) <= 150


@pytest.mark.skipif(not CHINESE.is_file(), reason="there is no Chinese README")
def test_both_readmes_show_the_same_commands() -> None:
    assert lines(CHINESE) == lines(ENGLISH)


# Links


@cache
def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives to the headings of a page."""
    text = FENCE.sub("", page.read_text())
    headings = (re.sub(r"\]\([^)]*\)", "]", heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE))
    slugs = [re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings]
    assert len(slugs) == len(set(slugs)), "two headings with one fragment"
    return {*slugs, *re.findall(r'<a (?:id|name)="([^"]+)"', text)}


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
    for target in targets:
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not fragment or fragment in anchors(file), f"{page.name}: {target}"


# Running


@pytest.fixture(scope="module")
def run_folder(in_process: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first command of README that trains, in its small setting, leaves."""
    runs = tmp_path_factory.mktemp("runs")
    (words,) = {words for module, words in commands(ENGLISH) if module == "train" and "debug=tiny" in words}
    answer = in_process("train", *words, f"paths.runs={runs}", "trainer.threads=1")
    assert answer.returncode == 0, answer.stderr
    (folder,) = runs.glob("*/0")
    return folder


def asked(module: str, *having: str) -> list[Command]:
    """The different commands of a module on all pages, those with one of these words in them."""
    pages = (page for page in PAGES if not page.name.startswith(FOLLOWED))
    found = dict.fromkeys(itertools.chain.from_iterable(map(commands, pages)))
    matching = [c for c in found if c.module == module and (not having or any(word in " ".join(c.words) for word in having))]
    assert matching
    return matching


# Weights that are not published yet -> others of the same kind.
STAND_INS = {"results/cdcgan_mnist": "results/families/cdcgan-mnist/0"}
QUICK = {"n": "n=2", "nfe": "nfe=2"}
ELSEWHERE = "format=onnx"  # takes as long as all others together: tests/runs/test_export.py
# Settings of a reader's runs of text: tests/test_generate.py and tests/runs/test_prompts.py.
OF_TEXT = {"prompt", "source", "heads", "form", "rhyme", "script", "chat", "temperature"}
# Likewise: tests/runs/test_tunes.py.
OF_MUSIC = {"tempo", "key", "bars", "synth", "lyrics", "melody", "from", "to", "attribute", "parallels"}
OF_LAYOUTS = {"layout"}  # tests/runs/test_layouts.py
OF_ATTRIBUTES = {"attributes"}  # of data whose classes have such names: tests/runs/test_sampling.py
OF_FILTERS = {"filter.clip", "filter.own"}  # need another run, and a package of one's own: tests/runs/test_filters.py
MELODY = ROOT / "docs/music/chorales-0.mid"


def ways_to_draw() -> dict[str, Command]:
    """The first command for each set of settings."""
    found: dict[str, Command] = {}
    for command in asked("generate", "run="):
        keys = (word if word.startswith("format") else word.partition("=")[0] for word in command.words)
        settings = {*keys} - {"n", "out", "seed"}
        if not (f"run={RUN}" in command.words and settings & (OF_TEXT | OF_MUSIC | OF_LAYOUTS | OF_ATTRIBUTES | OF_FILTERS)):
            of_music = any(word.startswith("run=results/tunes/") for word in command.words)
            found.setdefault(" ".join(sorted(settings - {"run"})) or ("tunes" if of_music else "samples"), command)
    del found[ELSEWHERE]
    return found


@pytest.mark.parametrize("way", ways_to_draw())
def test_every_way_to_draw(way: str, run_folder: Path, tmp_path: Path, in_process: Any, request: Any) -> None:
    words = {word.partition("=")[0]: word for word in ways_to_draw()[way].words}
    run = words.pop("run").partition("=")[2]
    if words.keys() & {"reconstruct", "traverse"}:
        request.getfixturevalue("mnist")
    if run in STAND_INS and not (ROOT / run / "weights.safetensors").is_file():
        run = STAND_INS[run]
    words |= {"melody": f"melody={MELODY}"} if "melody" in words else {}
    if "filter.words" in words:
        (tmp_path / "words.txt").write_text("春風\n")
        words["filter.words"] = f"filter.words={tmp_path / 'words.txt'}"
    if "source" in words:
        Image.new("L", (40, 30), 255).save(tmp_path / "drawing.png")
        words["source"] = f"source={tmp_path / 'drawing.png'}"
    words |= {key: value for key, value in QUICK.items() if key in words or (key == "n" and "source" not in words)} | {
        "out": f"out={tmp_path}/drawn"
    }
    answer = in_process("generate", f"run={run_folder if run == RUN else run}", *words.values())
    assert answer.returncode == 0, answer.stderr
    assert list(tmp_path.glob("drawn*"))


def test_measuring_verifying_reporting_and_preparing(run_folder: Path, tmp_path: Path, in_process: Any) -> None:
    def runs(module: str, words: tuple[str, ...], *small: str) -> None:
        here = [str(word).replace(RUN, str(run_folder)) for word in words]
        answer = in_process(module, *here, *small)
        assert answer.returncode == 0, f"{module} {shlex.join(here)}: {answer.stderr}"

    runs(*asked("evaluate", "evaluation.samples=5000")[0], "evaluation.samples=100")
    runs(*asked("verify", f"run={RUN} --quick")[0])
    page = tmp_path / "report.html"
    runs(*asked("report", "runs=runs out=")[0], f"runs={run_folder.parent}", f"out={page}")
    assert page.is_file()
    runs(*asked("prepare")[0], "data=digits")


def test_python_of_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/first_steps.md").read_text()
    (code,) = (code for language, code in FENCE.findall(page) if language == "python")
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["images"].shape == (64, 1, 28, 28)
