import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn import functional as F
from torch_fidelity.feature_extractor_clip import CLIPVisual
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models._meta import _IMAGENET_CATEGORIES

from src.config.errors import UserError
from src.evaluation.extractors import pretrained
from src.evaluation.extractors.dinov2 import DINOv2, VisionTransformer
from src.evaluation.extractors.extractor import Extractor, load_extractor


@pytest.fixture(scope="module")
def he_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the Inception network; default initialisation would give features near 1e-8."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: object, **__: object) -> None:
            generator = torch.Generator().manual_seed(0)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    module = Untrained("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    torch.save(module.state_dict(), folder / "he.pth")
    return folder / "he.pth"


def test_inception_with_weights_from_a_path(he_inception: Path, test_images: Tensor) -> None:
    loaded = load_extractor("inception-v3-compat", he_inception)
    digest = hashlib.sha256(he_inception.read_bytes()).hexdigest()
    assert loaded.weights_sha256 == digest
    assert loaded.key("fd") == f"fd_inception-v3-compat-{digest[:8]}", "only the official weights make a FID"
    assert loaded.key("is") == f"is_inception-v3-compat-{digest[:8]}"
    features, logits = loaded(test_images[:8])
    assert features.shape == (8, 2048)
    assert logits.shape == (8, 1008)
    assert features.std() > 1e-3


def test_official_inception_weights_make_a_fid(he_inception: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "INCEPTION_SHA256", hashlib.sha256(he_inception.read_bytes()).hexdigest())
    loaded = load_extractor("inception-v3-compat", he_inception)
    assert [loaded.key(name) for name in ("fd", "is", "kid")] == ["fid", "is", "kid"]
    assert loaded.key("precision") == "precision_inception-v3-compat"


def test_no_file_can_run_code(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple:
            return (tmp_path / "ran").touch, ()

    (tmp_path / "weights.pth").write_bytes(pickle.dumps(Malicious(), protocol=2))
    torch.save({"x": Malicious()}, tmp_path / "zipped.pth")
    for extractor in pretrained.PRETRAINED:
        for name in ("weights.pth", "zipped.pth"):
            with pytest.raises(UserError, match=r"holds no .* weights"):
                load_extractor(extractor, tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for name, address in (
        ("inception-v3-compat", "URL_INCEPTION_V3"),
        ("clip-vit-b-32", "CLIP_URL"),
        ("dinov2-vit-b-14", "DINOV2_URL"),
    ):
        monkeypatch.setattr(pretrained, address, (tmp_path / "nowhere.pth").as_uri())
        with pytest.raises(UserError, match=r"cannot be had .*put it at .*checkpoints/nowhere.pth"):
            load_extractor(name)
    monkeypatch.setattr(pretrained, "EFFICIENTNET_SOURCES", ())
    with pytest.raises(UserError, match=r"no source has efficientnet-lite0-57934424.pth"):
        load_extractor("efficientnet-lite0")


def test_a_damaged_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for name, file, words in (
        ("inception-v3-compat", Path(pretrained.URL_INCEPTION_V3).name, "is damaged"),
        ("clip-vit-b-32", "ViT-B-32.pt", "holds no CLIP weights"),
        ("dinov2-vit-b-14", "dinov2_vitb14_pretrain.pth", "is damaged"),
        ("efficientnet-lite0", "efficientnet-lite0-57934424.pth", "is damaged"),
    ):
        (tmp_path / "checkpoints" / file).write_bytes(b"junk")
        with pytest.raises(UserError, match=words):
            load_extractor(name)


@pytest.fixture(scope="module")
def efficientnet() -> Extractor:
    """With its real weights, got where they are missing; without a network there is nothing to test."""
    try:
        return load_extractor("efficientnet-lite0")
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("photograph", "category", "probability"), [(0, "palace", 0.433), (1, "daisy", 0.301)], ids=["china.jpg", "flower.jpg"]
)
def test_efficientnet_recognises_photographs(
    efficientnet: Extractor, photograph: int, category: str, probability: float
) -> None:
    """Tight enough to see ImageNet's normalisation (0.33 and 0.10) and symmetric padding (0.37 and 0.20)."""
    image = torch.from_numpy(load_sample_images().images[photograph].copy()).permute(2, 0, 1)[None]  # [1, 3, 427, 640]
    side = 427 * 224 // 256  # the crop that ImageNet's classifiers are tested with
    top, left = (427 - side) // 2, (640 - side) // 2
    features, logits = efficientnet(image[:, :, top : top + side, left : left + side])
    likely = logits.softmax(dim=1)[0].max(dim=0)
    assert _IMAGENET_CATEGORIES[likely.indices] == category
    assert likely.values.item() == pytest.approx(probability, abs=0.01)
    assert features.shape == (1, 1280)


def test_efficientnet_takes_small_and_grey_images(efficientnet: Extractor, test_images: Tensor) -> None:
    assert efficientnet.name == "efficientnet-lite0"
    assert efficientnet.key("fd") == "fd_efficientnet-lite0"
    features, logits = efficientnet(test_images[:9])
    assert features.shape == (9, 1280)
    assert logits.shape == (9, 1000)
    colour = efficientnet(test_images[:9].expand(-1, 3, -1, -1))
    assert torch.allclose(features, colour.features, atol=1e-5)
    assert torch.allclose(features[8], efficientnet(test_images[8:9]).features[0], atol=1e-4)


def test_efficientnet_is_what_the_file_holds(efficientnet: Extractor, tmp_path: Path, test_images: Tensor) -> None:
    """Other weights give another name; normalisation that was made a part of the convolutions changes nothing."""
    from src.networks.efficientnet_lite import EfficientNetLite0

    path = Path(torch.hub.get_dir()) / "checkpoints" / pretrained.EFFICIENTNET_FILE
    state = torch.load(path, weights_only=True)
    torch.save(dict(state), tmp_path / "again.pth")
    again = load_extractor("efficientnet-lite0", tmp_path / "again.pth")
    assert again.name.startswith("efficientnet-lite0-")
    network = EfficientNetLite0().eval()
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    x = F.interpolate(test_images[:2].expand(-1, 3, -1, -1).float(), (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        expected = network((x - 127) / 128)[1]
    assert torch.allclose(again(test_images[:2]).logits, expected, atol=1e-3)
    state.pop("_fc.bias")
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(UserError, match="holds no EfficientNet-Lite0 weights"):
        load_extractor("efficientnet-lite0", tmp_path / "short.pth")


class Weights(nn.Module):
    """A file as OpenAI's: the image side and the one tensor of the text side that torch-fidelity asks for."""

    def __init__(self, image_side: nn.Module) -> None:
        super().__init__()
        self.visual = image_side
        self.text_projection = nn.Parameter(torch.zeros(16, 32))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_clip_by_its_hash_alone(tmp_path: Path, test_images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a small scale: the class takes its sizes from the file, and TorchScript is opened if it is the pinned one."""
    torch.manual_seed(0)
    image_side = CLIPVisual(embed_dim=32, image_resolution=28, vision_layers=2, vision_width=64, vision_patch_size=14).visual
    torch.jit.save(torch.jit.script(Weights(_Holder(image_side.state_dict()))), tmp_path / "small.pt")
    with pytest.raises(UserError, match="holds no CLIP weights"):
        load_extractor("clip-vit-b-32", tmp_path / "small.pt")
    monkeypatch.setattr(pretrained, "CLIP_SHA256", hashlib.sha256((tmp_path / "small.pt").read_bytes()).hexdigest())
    loaded = load_extractor("clip-vit-b-32", tmp_path / "small.pt")
    features, logits = loaded(test_images[:4])
    assert features.shape == (4, 32)
    assert logits.shape == (4, 0)
    assert features.std() > 0.01
    assert loaded.key("fd") == "fd_clip-vit-b-32"


class _Holder(nn.Module):
    """Tensors under dotted names, without the code that would use them."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        for name in {name.split(".")[0] for name in state}:
            if name in state:
                self.register_parameter(name, nn.Parameter(state[name].clone()))
            else:
                inner = {key.partition(".")[2]: tensor for key, tensor in state.items() if key.startswith(f"{name}.")}
                self.add_module(name, _Holder(inner))


def small_dinov2(patches: int) -> VisionTransformer:
    torch.manual_seed(0)
    network = VisionTransformer(width=128, depth=2, patches=patches)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


def test_dinov2_is_a_transformer_with_scaled_layers() -> None:
    """Against PyTorch's own encoder, whose last weights of each branch take up the scales."""
    network, x = small_dinov2(patches=9), torch.randn(2, 3, 42, 42)
    grid = F.conv2d(x, network.patch_embed["proj"].weight, network.patch_embed["proj"].bias, stride=14)
    tokens = torch.cat([network.cls_token.expand(2, 1, 128), grid.flatten(2).transpose(1, 2)], dim=1) + network.pos_embed
    for block in network.blocks:
        layer = nn.TransformerEncoderLayer(128, 2, 512, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=True)
        one, two = block.ls1["gamma"], block.ls2["gamma"]
        pairs = {
            "self_attn.in_proj_weight": block.attn["qkv"].weight,
            "self_attn.in_proj_bias": block.attn["qkv"].bias,
            "self_attn.out_proj.weight": one[:, None] * block.attn["proj"].weight,
            "self_attn.out_proj.bias": one * block.attn["proj"].bias,
            "linear1.weight": block.mlp["fc1"].weight,
            "linear1.bias": block.mlp["fc1"].bias,
            "linear2.weight": two[:, None] * block.mlp["fc2"].weight,
            "linear2.bias": two * block.mlp["fc2"].bias,
            **{f"norm{i}.{end}": getattr(getattr(block, f"norm{i}"), end) for i in (1, 2) for end in ("weight", "bias")},
        }
        layer.load_state_dict(pairs)
        tokens = layer(tokens)
    expected = F.layer_norm(tokens[:, 0], (128,), network.norm.weight, network.norm.bias, 1e-6)
    assert torch.allclose(network(x), expected, atol=1e-4)


def test_dinov2_interpolates_its_positions() -> None:
    """A constant stays one, and a ramp over 37 x 37 patches becomes a ramp over 16 x 16; the class token's is left alone."""
    network = small_dinov2(patches=37 * 37)
    ramp = torch.arange(37.0).expand(37, 37)  # rises with the column
    with torch.no_grad():
        network.pos_embed[0, 1:, 0] = ramp.flatten()
        network.pos_embed[0, 1:, 1] = 3.0
    found = network.positions(16)
    assert found.shape == (1, 257, 128)
    assert torch.equal(found[:, 0], network.pos_embed[:, 0])
    assert torch.allclose(found[0, 1:, 1], torch.full((256,), 3.0), atol=1e-5)
    columns = found[0, 1:, 0].view(16, 16)
    assert torch.allclose(columns, columns[:1].expand(16, 16), atol=1e-4)
    # The centre of new patch i lies at (i + 0.5) 37 / 16.1 - 0.5 of the old ones; PyTorch's cubic bends a ramp by 0.05.
    inner = torch.arange(2, 14)
    assert torch.allclose(columns[0, inner], (inner + 0.5) * 37 / 16.1 - 0.5, atol=0.08)
    assert not torch.allclose(columns[0, inner], (inner + 0.5) * 37 / 16 - 0.5, atol=0.08)


def test_dinov2_with_weights_from_a_path(tmp_path: Path, test_images: Tensor) -> None:
    state = small_dinov2(patches=37 * 37).state_dict() | {"mask_token": torch.zeros(1, 128)}
    torch.save(state, tmp_path / "small.pth")
    loaded = load_extractor("dinov2-vit-b-14", tmp_path / "small.pth")
    assert loaded.name.startswith("dinov2-vit-b-14-")
    features, logits = loaded(test_images[:3])
    assert features.shape == (3, 128)
    assert logits.shape == (3, 0)
    assert loaded.feature_size == 128
    assert features.std() > 0.1


def test_dinov2_of_the_published_size_has_its_names() -> None:
    """Names and shapes of dinov2_vitb14_pretrain.pth: 86,580,480 parameters with the mask token."""
    with torch.device("meta"):
        network = VisionTransformer(width=768, depth=12, patches=37 * 37)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert sum(tensor.numel() for tensor in network.parameters()) + 768 == 86_580_480
    assert shapes["pos_embed"] == (1, 1370, 768)
    assert shapes["patch_embed.proj.weight"] == (768, 3, 14, 14)
    assert shapes["blocks.11.attn.qkv.weight"] == (2304, 768)
    assert shapes["blocks.0.ls1.gamma"] == (768,)
    assert shapes["blocks.0.mlp.fc2.bias"] == (768,)
    assert shapes["norm.weight"] == (768,)
    assert issubclass(DINOv2, nn.Module)
