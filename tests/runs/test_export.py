"""Exported generators: the same numbers elsewhere, whole files, no trace of the machine."""

import hashlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from src.config.errors import UserError
from src.runs import export


class MlpGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Dropout(), nn.Linear(16, 64), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).view(-1, 1, 8, 8)


class ConvGenerator(nn.Module):
    """Class-conditional, with spectral norm and a `len` that must not become a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.project = nn.utils.parametrizations.spectral_norm(nn.Linear(12, 8 * 4 * 4))
        self.layers = nn.Sequential(
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(8, 3, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        hidden = self.project(torch.cat([z, self.embed(y)], dim=1))
        return self.layers(hidden.view(len(z), 8, 4, 4))


def mlp(seed: int = 0) -> MlpGenerator:
    torch.manual_seed(seed)
    generator = MlpGenerator()
    generator(torch.randn(32, 6))  # moves the running statistics away from 0 and 1
    return generator


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


def test_state_hash_is_that_of_names_dtypes_shapes_and_bytes() -> None:
    expected = hashlib.sha256(
        b'["a", "torch.int64", []]' + (7).to_bytes(8, "little")
        + b'["b", "torch.float32", [1, 2]]' + np.array([1.0, -2.0], "<f4").tobytes()
    ).hexdigest()  # fmt: skip
    state = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor(7)}
    assert export.state_hash(state) == expected
    assert export.state_hash(dict(reversed(state.items()))) == expected


def test_state_hash_sees_every_change_and_no_memory_layout() -> None:
    weight = torch.arange(6.0).view(2, 3)
    plain = export.state_hash({"w": weight})
    assert export.state_hash({"w": weight.t().contiguous().t()}) == plain
    bit = weight.clone()
    bit.view(torch.int32)[1, 2] ^= 1
    others = [
        {"v": weight},
        {"w": weight.view(3, 2)},
        {"w": weight.view(torch.int32)},
        {"w": bit},
        {"w": weight, "x": weight},
        {"w": weight[:, :0]},
        {"w": weight > 2},
        {"w": weight.bfloat16()},
    ]
    assert len({plain, *(export.state_hash(state) for state in others)}) == 1 + len(others)


def test_safetensors_round_trip(tmp_path, latents) -> None:
    generator = mlp()
    path = tmp_path / "new" / "generator.safetensors"
    metadata = {"title": "数字", "step": "12", "config": "x" * 50}
    digest = export.save_safetensors(generator, path, metadata)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()

    state, read = export.load_safetensors(path)
    assert read == metadata
    assert export.state_hash(state) == export.state_hash(generator.state_dict())
    other = mlp(seed=5)
    other.load_state_dict(state)
    assert torch.equal(other.eval()(latents), generator.eval()(latents))
    assert [file.name for file in path.parent.iterdir()] == ["generator.safetensors"]


def test_safetensors_are_the_same_bytes_in_every_process(tmp_path) -> None:
    code = (
        "import sys; from torch import nn; import torch; from src.runs.export import save_safetensors\n"
        "torch.manual_seed(0)\n"
        "print(save_safetensors(nn.Linear(2, 2), sys.argv[1], {c: c for c in 'abcdefgh'}))"
    )
    command = [sys.executable, "-c", code, tmp_path / "g"]
    other = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    torch.manual_seed(0)
    assert export.save_safetensors(nn.Linear(2, 2), tmp_path / "h", {c: c for c in "abcdefgh"}) == other


def test_tied_weights_are_saved(tmp_path) -> None:
    layer = nn.Linear(3, 3)
    export.save_safetensors(nn.Sequential(layer, layer), tmp_path / "g", {})
    state, _ = export.load_safetensors(tmp_path / "g")
    assert torch.equal(state["0.weight"], state["1.weight"])


def test_one_flipped_bit_is_found(tmp_path) -> None:
    path = tmp_path / "generator.safetensors"
    export.save_safetensors(mlp(), path, {})
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        export.load_safetensors(path)


@pytest.mark.parametrize("content", [b"", b"not weights at all", "half"])
def test_a_file_that_is_no_generator(tmp_path, content) -> None:
    path = tmp_path / "generator.safetensors"
    export.save_safetensors(mlp(), path, {})
    path.write_bytes(path.read_bytes()[:2000] if content == "half" else content)
    with pytest.raises(UserError, match="export it again"):
        export.load_safetensors(path)


def test_a_foreign_or_missing_file(tmp_path) -> None:
    import safetensors.torch

    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "foreign")
    with pytest.raises(UserError, match="no generator exported here"):
        export.load_safetensors(tmp_path / "foreign")
    with pytest.raises(UserError, match="does not exist"):
        export.load_safetensors(tmp_path / "missing")


@pytest.mark.parametrize("examples", [1, 4])
def test_onnx_takes_any_batch_and_gives_the_same_numbers(tmp_path, latents, examples, capfd) -> None:
    generator = mlp().train()
    before = export.state_hash(generator.state_dict())
    path = tmp_path / "generator.onnx"
    capfd.readouterr()
    digest = export.to_onnx(generator, [latents[:examples]], path, ["z"], {"model": "abc", "run": "mlp"})
    assert capfd.readouterr() == ("", "")
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert generator.training
    assert export.state_hash(generator.state_dict()) == before
    assert [file.name for file in tmp_path.iterdir()] == ["generator.onnx"]

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == {"model": "abc", "run": "mlp"}
    for size in (1, 2, 7):
        z = torch.randn(size, 6, generator=torch.Generator().manual_seed(size))
        (got,) = session.run(None, {"z": z.numpy()})
        np.testing.assert_allclose(got, generator.eval()(z).detach().numpy(), atol=1e-5, rtol=0)


def test_onnx_of_a_conditional_generator(tmp_path, latents) -> None:
    torch.manual_seed(0)
    generator = ConvGenerator()
    path = tmp_path / "generator.onnx"
    export.to_onnx(generator, [latents, torch.arange(4)], path, ["z", "y"], {})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    z, y = torch.randn(5, 6), torch.tensor([9, 0, 0, 3, 7])
    (got,) = session.run(["x"], {"y": y.numpy(), "z": z.numpy()})
    assert got.shape == (5, 3, 16, 16)
    np.testing.assert_allclose(got, generator.eval()(z, y).detach().numpy(), atol=1e-5, rtol=0)


def test_onnx_is_reproducible_and_keeps_no_trace_of_this_machine(tmp_path, latents) -> None:
    first = export.to_onnx(mlp(), [latents], tmp_path / "a.onnx", ["z"], {"b": "1", "a": "2"})
    assert export.to_onnx(mlp(), [latents], tmp_path / "b.onnx", ["z"], {"b": "1", "a": "2"}) == first
    data = (tmp_path / "a.onnx").read_bytes()
    assert __file__.encode() not in data
    assert b"site-packages" not in data
    assert all(entry.data_location == onnx.TensorProto.DEFAULT for entry in onnx.load_from_string(data).graph.initializer)


def test_onnx_that_differs_is_not_written(tmp_path) -> None:
    """A generator with a random stream of its own cannot be the same elsewhere; nor can one with NaN weights."""

    class Noisy(MlpGenerator):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z * (1 + 0.01 * torch.randn_like(z)))

    broken = mlp()
    nn.init.constant_(broken.layers[0].bias, float("nan"))
    for generator in (Noisy(), broken):
        with pytest.raises(RuntimeError, match="ONNX differs from PyTorch"):
            export.to_onnx(generator, [torch.zeros(1, 6)], tmp_path / "generator.onnx", ["z"], {})
        assert list(tmp_path.iterdir()) == []


def test_onnx_of_large_outputs_is_compared_by_their_size(tmp_path) -> None:
    """The velocities of a flow are no images in [-1, 1]: their rounding errors grow with them."""

    class Loud(MlpGenerator):
        def forward(self, z: Tensor) -> Tensor:
            return 1e4 * super().forward(z)

    export.to_onnx(Loud(), [torch.zeros(1, 6)], tmp_path / "generator.onnx", ["z"], {})


def test_an_interrupted_export_leaves_the_older_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "generator.safetensors"
    older = export.save_safetensors(mlp(), path, {})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export.save_safetensors(mlp(seed=1), path, {})
    assert hashlib.sha256(path.read_bytes()).hexdigest() == older
    assert [file.name for file in tmp_path.iterdir()] == ["generator.safetensors"]
