import io
import json
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.config.errors import UserError
from src.data.pixels import to_uint8
from src.generate import generate
from src.modalities.pictures import read_provenance
from src.runs.folder import RunFolder
from src.runs.load import load_run
from src.runs.outputs import output_path, short
from src.train import train

ROOT = Path(__file__).parent.parent


@pytest.fixture
def draw(tiny_run: Path, compose: Any, tmp_path: Path) -> Any:
    """draw("n=4", ...): what `python -m src.generate run=... n=4` makes, in a folder of its own."""

    def drawn(*words: str) -> Path:
        import hydra

        from src.config.checks import plain
        from src.config.command_line import CONF

        with hydra.initialize_config_dir(CONF, version_base="1.3"):
            config = plain(hydra.compose("generate", [f"run={tiny_run}", f"out={tmp_path}/out", *words]))
        return generate(config)

    return drawn


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_singles_and_grid_with_their_marks(draw: Any, tiny_run: Path) -> None:
    folder = draw("n=5", "seed=3")
    names = sorted(path.name for path in folder.glob("0*.png"))
    assert names == [f"{seed:06d}.png" for seed in range(3, 8)]
    marks = read_provenance(folder / "000004.png")
    assert marks["generated"] == "true"
    assert marks["seed"] == "4"
    assert marks["model"] == json.loads((tiny_run / "metrics.json").read_text())["protocol"]["network_sha256"]
    sidecar = json.loads((folder / "samples.json").read_text())
    assert sidecar["seeds"] == {f"{seed:06d}.png": seed for seed in range(3, 8)}
    assert read_provenance(folder / "grid.png")["model"] == marks["model"]
    made = json.loads((folder / "grid.json").read_text())["provenance"]
    assert (made["weights"], made["first_seed"]) == ("ema", 3)
    assert "truncation" not in made
    folder = draw("n=2", "truncation=0.5")
    assert json.loads((folder / "samples.json").read_text())["provenance"]["truncation"] == 0.5


def test_sample_i_depends_on_its_seed_alone(draw: Any) -> None:
    first = pixels(draw("n=40", "seed=0") / "000007.png")
    assert np.array_equal(first, pixels(draw("n=1", "seed=7") / "000007.png"))


def test_npz_holds_the_same_pixels(draw: Any) -> None:
    with np.load(draw("n=3", "seed=2", "format=npz")) as stored:
        assert stored["seeds"].tolist() == [2, 3, 4]
        x = stored["arr_0"]
    assert x.shape == (3, 8, 8, 1)
    assert np.array_equal(x[1, :, :, 0], pixels(draw("n=1", "seed=3") / "000003.png"))


def test_many_are_drawn_in_portions_and_it_is_said_how_far(draw: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder = draw("n=40")
    assert capsys.readouterr().err == ""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("src.generate.PORTION", 16)
    monkeypatch.setattr("src.system.progress.PLAIN_SECONDS", 0.0)
    folder = draw("n=40")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    said = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in said] == [f"{n} of 40 samples" for n in (16, 32, 40)]
    assert said[-1].endswith("left 0:00")


def test_interpolation_strip(draw: Any) -> None:
    path = draw("n=2", "interpolate=6")
    height, width = pixels(path).shape[:2]
    assert 2.5 < width / height < 3.5
    assert json.loads(path.with_suffix(".json").read_text())["provenance"]["run"]
    whole = path.read_bytes()
    assert draw("n=2", "interpolate=6", "truncation=0.1").read_bytes() != whole
    with pytest.raises(UserError, match="not class-conditional"):
        draw("n=2", "interpolate=6", "class=1")


def test_a_film_of_how_samples_come_to_be(draw: Any) -> None:
    path = draw("film=true", "n=4")
    assert path.name == "out.gif"
    with Image.open(path) as film:
        assert film.n_frames > 10


@pytest.fixture(scope="module")
def vae_run(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "vae" / "0"
    words = ["model=vae", "data=digits", "model.conditional=true", "debug=tiny", "stop.samples=64", "evaluate=false"]
    train(compose(*words, "validation=null", "samples=null", "trainer.threads=1", f"run_dir={run}"))
    return run


def test_rows_of_test_images_above_their_reconstructions(vae_run: Path, draw: Any) -> None:
    from src.data.digits import Digits

    path = draw(f"run={vae_run}", "reconstruct=3", "n=2", "seed=299")  # the last of 300, then the first
    picture, cell = pixels(path), 8 * 8 + 2
    assert picture.shape == (4 * cell + 2, 3 * cell + 2)
    x, model = Digits().split("test").batch(np.arange(299, 305) % 300), load_run(vae_run)
    batch = model.spec.to_model({name: torch.from_numpy(part) for name, part in x.items()})
    restored = to_uint8(model.reconstruct(batch)).numpy()
    for number in range(6):
        row, column = divmod(number, 3)
        for image, top in ((x["x"][number, 0], 2 * row), (restored[number, 0], 2 * row + 1)):
            shown = picture[2 + top * cell :, 2 + column * cell :][: cell - 2, : cell - 2]
            assert np.array_equal(shown, image.repeat(8, 0).repeat(8, 1))
    assert read_provenance(path)["generated"] == "true"


def test_a_row_of_pictures_for_each_latent_coordinate(vae_run: Path, draw: Any) -> None:
    path = draw(f"run={vae_run}", "traverse=5", "n=2", "class=3")
    assert pixels(path).shape == (2 * 66 + 2, 5 * 66 + 2)
    first = path.read_bytes()
    assert draw(f"run={vae_run}", "traverse=5", "n=2", "class=4").read_bytes() != first
    assert draw(f"run={vae_run}", "traverse=5", "n=2", "class=3").read_bytes() == first


def test_a_model_without_an_encoder_reconstructs_nothing(draw: Any) -> None:
    for word in ("reconstruct", "traverse"):
        with pytest.raises(UserError, match=r"^mlp_gan has no encoder, [^\n]*: ask another run") as error:
            draw(f"{word}=4")
        assert "\n" not in str(error.value)


def test_data_that_have_changed_are_not_reconstructed(vae_run: Path, draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.data.digits.Digits.prepare", lambda self: None)
    monkeypatch.setattr("src.data.digits.Digits.hashes", lambda self: {"x": "other"})
    with pytest.raises(UserError, match="the data is not what the run was made with"):
        draw(f"run={vae_run}", "reconstruct=2")
    with pytest.raises(UserError, match="has no data of yours: leave it out"):
        draw(f"run={vae_run}", "reconstruct=2", "data.path=elsewhere")


def test_files_have_the_names_that_are_asked_for(draw: Any, tmp_path: Path) -> None:
    for words, name in (
        (["format=npz", "n=2", f"out={tmp_path}/v1.5"], "v1.5.npz"),
        (["format=safetensors", f"out={tmp_path}/a.safetensors"], "a.safetensors"),
        (["format=onnx", f"out={tmp_path}/b"], "b.onnx"),
        (["interpolate=3", "n=1", f"out={tmp_path}/c.png"], "c.png"),
    ):
        assert draw(*words) == tmp_path / name
        assert (tmp_path / name).is_file()


def test_a_picture_where_out_names_one(draw: Any, tmp_path: Path) -> None:
    draw("n=4", f"out={tmp_path / 'digits.png'}")
    assert {path.name for path in tmp_path.iterdir()} == {"digits.png", "digits.json"}
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.size == (2 * 66 + 2, 2 * 66 + 2)
    with pytest.raises(UserError, match=r"name a folder for the samples, or a .png file for one picture"):
        draw("n=4", f"out={tmp_path / 'digits.jpg'}")
    assert draw("n=4", f"out={tmp_path / 'samples.v2'}").is_dir()


def test_what_is_refused_deletes_nothing(draw: Any) -> None:
    folder = draw("n=4")
    before = sorted(folder.iterdir())
    for word in ("class=3", "side=112"):
        with pytest.raises(UserError):
            draw("n=4", word)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "samples-seed0"),
        (["weights=ema", "checkpoint=best"], "samples-seed0"),
        (["n=2", "class=3", "truncation=1"], "samples-n2-class3-truncation1-seed0"),
        (["class=a/b"], "samples-classa%2Fb-seed0"),
        (["weights=raw", "checkpoint=last", "nfe=5", "solver=heun", "guidance=2"],
         "samples-nfe5-solver=heun-guidance2-weights=raw-checkpoint=last-seed0"),
        (["temperature=0.5", "top_k=3", "top_p=0.9", "side=20", "format=npz"],
         "samples-side20-temperature0.5-top_k3-top_p0.9-seed0.npz"),
        (["interpolate=8", "n=4", "seed=2"], "interpolate8-n4-seed2.png"),
        (["film=true", "weights=raw"], "film-weights=raw-seed0.gif"),
        (["format=onnx"], "network.onnx"),
        (["format=safetensors", "weights=raw"], "network-weights=raw.safetensors"),
    ],
)  # fmt: skip
def test_other_settings_have_another_place(words: list[str], name: str, compose: Any, tmp_path: Path) -> None:
    config = compose(f"run={tmp_path}", *words, name="generate", nullable=("n", "paths.data", "data.path"))
    assert output_path(config, RunFolder(tmp_path)) == tmp_path / "generated" / name


def test_only_the_same_command_writes_to_the_same_place(draw: Any, tiny_run: Path, tmp_path: Path) -> None:
    run = f"run={shutil.copytree(tiny_run, tmp_path / 'run')}"

    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    folder = draw(run, "n=2", "out=null")
    first = files(folder)
    assert draw(run, "n=2", "out=null", "weights=raw") != folder
    assert files(folder) == first
    assert draw(run, "n=2", "out=null") == folder
    assert files(folder) == first


def test_a_folder_holds_no_samples_of_before(draw: Any) -> None:
    folder = draw("n=8")
    (folder / "mine.png").write_text("")
    draw("n=3", "weights=raw")
    assert sorted(path.name for path in folder.glob("*.png")) == [*(f"{n:06d}.png" for n in range(3)), "grid.png", "mine.png"]


def test_an_interrupted_drawing_leaves_nothing_among_the_next(draw: Any, tiny_run: Path, tmp_path: Path) -> None:
    """A real kill -9 as soon as there are pictures."""
    out = tmp_path / "out"
    draw("n=2")
    words = [sys.executable, "-m", "src.generate", f"run={tiny_run}", "n=400000", "seed=100", f"out={out}"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 200
        while not (out / "000100.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait(60)
    assert (out / "000100.png").exists()
    assert not (out / "000000.png").exists()
    assert not any(out.glob("grid.*"))
    draw("n=2")
    assert sorted(path.name for path in out.glob("*.png")) == ["000000.png", "000001.png", "grid.png"]


def test_a_full_disk_is_said_in_one_line(tiny_run: Path, in_process: Any, tmp_path: Path) -> None:
    """A limit on file size stands in for it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        answer = in_process("generate", f"run={tiny_run}", "n=50", "format=npz", f"out={tmp_path}/out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.returncode == 2, answer.stderr
    assert (
        answer.stderr
        == f"error: no room left to write {tmp_path}/out.npz (File too large): make some, or choose another with out=\n"
    )


def test_a_folder_is_no_file(draw: Any, tmp_path: Path) -> None:
    (tmp_path / "out.npz").mkdir()
    with pytest.raises(UserError, match=r"out.npz is a folder: name another file with out="):
        draw("n=1", "format=npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=99999999999999999999", "format=npz"], "seed=99999999999999999999: format=npz holds seeds of 64 bits"),
        (["interpolate=4", "format=npz"], "interpolate= makes one picture, format=npz has no place for it"),
        (["reconstruct=2", "traverse=2"], "reconstruct= and traverse= are two pictures"),
        (["reconstruct=2", "class=1"], "reconstruct= takes each image with its own class: leave class= out"),
        (["traverse=2", "format=npz"], "traverse= makes one picture, format=npz"),
        (["format=onnx", "truncation=0.5"], "leave truncation= out"),
        (["format=safetensors", "n=5"], "leave n= out"),
        (["out=README.md"], "cannot write to README.md"),
        (["format=npz", "out=README.md/x"], "choose another with out="),
    ],
)
def test_what_cannot_be_had_is_said_first(words: list[str], message: str, draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.runs.load.load_run", None)
    with pytest.raises(UserError, match=message):
        draw(*words)


def test_raw_weights_draw_other_samples(draw: Any) -> None:
    assert not np.array_equal(pixels(draw("n=1") / "000000.png"), pixels(draw("n=1", "weights=raw") / "000000.png"))


def test_exports_agree_with_the_model(draw: Any, tiny_run: Path) -> None:
    import onnxruntime

    from src.runs.export import load_safetensors

    model = load_run(tiny_run)
    z = torch.randn(5, model.z_dim)
    expected = model.decode(z)
    session = onnxruntime.InferenceSession(draw("format=onnx"), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"z": z.numpy()})
    np.testing.assert_allclose(got, expected, atol=1e-5)
    state, metadata = load_safetensors(draw("format=safetensors"))
    assert metadata["checkpoint"].startswith("best-")
    for name, tensor in model.network().state_dict().items():
        assert torch.equal(state[name], tensor)
    state, _ = load_safetensors(tiny_run / "weights.safetensors")
    assert state.keys() == model.network().state_dict().keys()


@pytest.fixture(scope="module")
def drawn_from(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """drawn_from("cdcgan", "class=3", ...): the folder of samples of a tiny run of that model, and the model."""
    runs = tmp_path_factory.mktemp("runs")

    def drawn(name: str, *words: str) -> tuple[np.ndarray, Any]:
        run = runs / name / "0"
        if not run.exists():
            train(compose(f"model={name}", "data=digits", "debug=tiny", "stop.samples=64", "evaluate=false", f"run_dir={run}"))
        out = runs / "out"
        path = generate(
            compose(
                f"run={run}",
                f"out={out}",
                "n=5",
                "format=npz",
                *words,
                name="generate",
                nullable=("n", "paths.data", "data.path"),
            )
        )
        with np.load(path) as stored:
            return stored["arr_0"], load_run(run)

    return drawn


def test_classes_by_number_by_name_and_in_turn(drawn_from: Any) -> None:
    by_number, model = drawn_from("cdcgan", "class=3")
    asked = to_uint8(model.sample(range(5), {"y": torch.full((5,), 3)})).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(by_number, asked)
    assert np.array_equal(by_number, drawn_from("cdcgan", "class='3'")[0])
    assert np.array_equal(by_number, drawn_from("cdcgan", "attributes='3,-4'")[0])
    in_turn, _ = drawn_from("cdcgan")
    assert np.array_equal(in_turn[3], by_number[3])
    assert not np.array_equal(in_turn[2], by_number[2])


def test_truncation_draws_the_typical(drawn_from: Any) -> None:
    spread = [drawn_from("cdcgan", "class=3", f"truncation={t}")[0].std(axis=0).mean() for t in (3, 0.5, 0)]
    assert spread[0] > spread[1] > spread[2] == 0


def test_a_function_of_coordinates_has_any_side(drawn_from: Any) -> None:
    assert drawn_from("implicit_gan", "side=20")[0].shape == (5, 20, 20, 1)


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("cdcgan", "class=cat", "class=cat is none of the data's: known: 0, 1, 2"),
        ("cdcgan", "side=20", "one size only"),
        ("implicit_gan", "class=3", "not class-conditional"),
    ],
)
def test_what_a_model_cannot_do_is_said(drawn_from: Any, model: str, words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        drawn_from(model, words)


# Text


@pytest.fixture(scope="module")
def text_run(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "text" / "0"
    words = [
        "model=gpt",
        "data=text",
        f"data.path={ROOT / 'docs/first_steps.md'}",
        "model.network={width: 16, depth: 1, heads: 2}",
    ]
    words += ["debug=tiny", "stop.samples=64", "evaluate=false", "validation=null", "samples=null", "trainer.threads=1"]
    train(compose(*words, f"run_dir={run}"))
    return run


def test_text_begins_with_the_prompt(text_run: Path, in_process: Any, tmp_path: Path) -> None:
    """Signs that mean something to Hydra, on a real command line."""
    words = [f"run={text_run}", "n=3", "temperature=0.8", "top_p=0.95", 'prompt=It\'s a "run",', "heads=I"]
    answer = in_process("generate", *words, f"out={tmp_path}/out")
    assert answer.returncode == 0, answer.stderr
    record = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert all(sample["text"].startswith('It\'s a "run",') for sample in record["samples"])
    asked = {"prompt": 'It\'s a "run",', "heads": "I", "temperature": 0.8, "top_p": 0.95}
    assert record["provenance"].items() >= asked.items()
    assert in_process("generate", *words).stdout.strip().endswith('-prompt=It\'s a "run",-heads=I-seed0')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prompt='ab龘c'"], "prompt: the vocabulary of the data has no '龘'"),
        (["prompt=The", "heads=A"], "the prompt's symbol 1, 'T', is not what heads=A asks for"),
        (["heads=ab", "form='5,5,5'"], "heads=ab is for 2 lines and form=5,5,5 has 3"),
        (["form='5,5'"], "the data have no <end>"),
        (["source=x"], "reads no source"),
        (["film=true", "prompt=a"], "prompt= is for samples and film= makes a picture"),
        (["format=onnx", "prompt=a"], "leave prompt= out"),
    ],
)
def test_text_that_cannot_be_had(words: list[str], message: str, text_run: Path, draw: Any) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as error:
        draw(f"run={text_run}", *words)
    assert "\n" not in str(error.value)


def test_images_have_no_prompt(draw: Any) -> None:
    for word in ("prompt=a", "heads=a", "form=5"):
        with pytest.raises(UserError, match="which is for text: leave it out"):
            draw(word if word != "form=5" else "form='5'")
    with pytest.raises(UserError, match="reads no source"):
        draw("source=a")


def test_a_long_text_is_short_in_the_name_of_a_file() -> None:
    assert short("春風") == "春風"
    long = [short("春風" * 100 + end) for end in "ab"]
    assert long[0] != long[1]
    assert all(len(name.encode()) < 60 for name in long)
    assert short("a\nb").startswith("ab~")


@pytest.fixture(scope="module")
def latent_run(compose: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "latent" / "0"
    words = [
        "model=text_vae",
        "data=text",
        f"data.path={ROOT / 'README.md'}",
        "data.length=24",
        "debug=tiny",
        "stop.samples=64",
    ]
    words += ["model.network={width: 16, depth: 1, heads: 2, z_dim: 4}", "evaluate=false", "validation=null", "samples=null"]
    train(compose(*words, "trainer.threads=1", f"run_dir={run}"))
    return run


def test_texts_between_two_latents_and_restored_texts(latent_run: Path, draw: Any) -> None:
    path = draw(f"run={latent_run}", "n=2", "interpolate=3", "temperature=0.5")
    assert path.name == "out.txt"
    page = path.read_text()
    assert re.findall("--- (row .*) ---", page) == [f"row {row}, {step} of 3" for row in (1, 2) for step in (1, 2, 3)]
    assert json.loads(path.with_suffix(".json").read_text())["provenance"]["temperature"] == 0.5
    restored = draw(f"run={latent_run}", "n=1", "reconstruct=2", "out=" + str(path.with_name("restored"))).read_text()
    assert len(re.findall("--- row", restored)) == 4
    text = (ROOT / "README.md").read_text()
    assert restored.split(" ---\n")[1].partition("\n\n--- row")[0] in text  # a test text, above what is restored of it


def test_a_text_model_without_latents_has_nothing_between_them(text_run: Path, draw: Any) -> None:
    with pytest.raises(UserError, match="gpt has no latents to go between"):
        draw(f"run={text_run}", "interpolate=3")


# Text with a source


@pytest.fixture(scope="module")
def pairs_run(compose: Any, greetings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "pairs" / "0"
    words = ["model=gpt", "data=text_pairs", f"data.path={greetings}", "data.length=24", "data.source_length=24"]
    words += ["model.network={width: 16, depth: 1, heads: 2}", "debug=tiny", "stop.samples=64", "evaluate=false"]
    train(compose(*words, "validation=null", "samples.n=2", "trainer.threads=1", f"run_dir={run}"))
    return run


def test_previews_and_samples_without_a_source_have_those_of_unseen_pairs(pairs_run: Path, greetings: Path, draw: Any) -> None:
    known = [json.loads(line)["source"] for line in greetings.read_text().splitlines()]
    preview = (pairs_run / "samples" / "step-000000002.txt").read_text()
    assert preview.splitlines()[0] == "--- sample 1: source ---"
    assert preview.splitlines()[1] in known
    samples = json.loads((draw(f"run={pairs_run}", "n=3") / "samples.json").read_text())["samples"]
    assert len({sample["source"] for sample in samples} & set(known)) == 3


def test_a_source_by_its_text_or_its_file(pairs_run: Path, draw: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.txt").write_text("Hi, I am 龘 Ana\n", encoding="utf-8")
    by_file, by_text = (
        json.loads((draw(f"run={pairs_run}", "n=2", word) / "samples.json").read_text())
        for word in (f"source={tmp_path}/a.txt", "source='Hi, I am 龘 Ana'")
    )
    assert by_file == by_text
    assert by_text["provenance"]["source"] == "Hi, I am 龘 Ana"
    assert capsys.readouterr().err.count("read as unknown: 龘\n") == 2
    for word, message in ((f"source={tmp_path}/b.txt", "cannot read it"), (f"source={'Hi' * 20}", "this model reads 24")):
        with pytest.raises(UserError, match=message):
            draw(f"run={pairs_run}", "n=2", word)


def test_a_dialogue_in_the_terminal(pairs_run: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["Hi, I am Ana", "", "H" * 30, "Yo, I am Eo"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    words = [f"run={pairs_run}", "chat=true", "top_k=1", "prompt=H"]
    found = in_process("generate", *words)
    assert found.returncode == 0, found.stderr
    answers = found.stdout.splitlines()
    assert len(answers) == 2
    assert all(answer.startswith("H") for answer in answers)
    assert found.stderr == "the source has 30 characters and this model reads 24: shorten it\n"
    assert not (pairs_run / "generated").exists()

    def interrupted(_: str = "") -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    found = in_process("generate", *words)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_an_answer_with_a_listed_word_is_replaced(
    pairs_run: Path, in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = []
    for more in ([], [f"filter.words={tmp_path}/words.txt"]):
        monkeypatch.setattr("sys.stdin", io.StringIO("Hi, I am Ana\nYo, I am Eo"))
        found = in_process("generate", f"run={pairs_run}", "chat=true", "prompt=H", *more)
        assert found.returncode == 0, found.stderr
        answers.append(found.stdout.splitlines())
        (tmp_path / "words.txt").write_text(answers[0][0])
    assert answers[1] == ["(left out by the filter)", answers[0][1]]


@pytest.mark.parametrize(
    ("word", "message"), [("n=2", "leave n= out"), ("format=npz", "writes no files"), ("source=a", "leave source= out")]
)
def test_a_dialogue_writes_no_files(word: str, message: str, pairs_run: Path, in_process: Any) -> None:
    found = in_process("generate", f"run={pairs_run}", "chat=true", word)
    assert found.returncode == 2
    assert message in found.stderr


def test_a_model_without_a_source_does_not_answer(text_run: Path, in_process: Any) -> None:
    found = in_process("generate", f"run={text_run}", "chat=true")
    assert found.returncode == 2
    assert found.stderr.startswith("error: gpt reads no source, so that it cannot answer")
