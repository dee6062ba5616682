"""Export of generators: safetensors for PyTorch, ONNX for other programs; and the hash of weights."""

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from src.config.errors import UserError
from src.system.files import write_atomic
from src.training import rng

TOLERANCE = 1e-5  # largest difference between ONNX and PyTorch, absolute or as a share of the largest output
BATCH_SIZES = (1, 3, 64)  # of the comparison


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the sorted names, dtypes, shapes and bytes: the same on every device and in every memory layout."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_safetensors(generator: nn.Module, path: str | Path, metadata: Mapping[str, str]) -> str:
    """Write the weights and buffers with `metadata`. Returns the file's SHA-256; equal contents give equal files."""
    # Copied, because safetensors refuses tied weights.
    state = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in generator.state_dict().items()}
    record = {"weights": state_hash(state), "metadata": dict(metadata)}
    # One metadata entry, because safetensors writes several in random order.
    data = safetensors.torch.save(state, {"aigc-lab": json.dumps(record, sort_keys=True, ensure_ascii=False)})
    return _write(Path(path), data)


def load_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(state dict on the CPU, metadata) of a file of `save_safetensors`; UserError if it is missing or damaged."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["aigc-lab"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: export the generator first") from error
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no generator exported here, or is damaged: export it again") from error
    if state_hash(state) != record["weights"]:
        raise UserError(f"{path} is damaged, its weights do not have the hash it states: export it again")
    return state, record["metadata"]


def to_onnx(
    generator: nn.Module,
    example_inputs: Sequence[Tensor],
    path: str | Path,
    input_names: Sequence[str],
    metadata: Mapping[str, str],
) -> str:
    """Write the generator, in evaluation mode, as one ONNX file that takes any batch size. Returns the file's SHA-256.

    example_inputs: arguments of `forward`, [B, ...] each with the same B >= 1.
    metadata: goes into the file's `metadata_props`.
    Raises RuntimeError, and writes no file, if onnxruntime and PyTorch differ by more than `TOLERANCE`. They are compared on
    the examples in batches of `BATCH_SIZES`, with N(0, I) added to float inputs.
    """
    import onnx  # lazy import: it takes seconds, and many callers need `state_hash` only

    generator = copy.deepcopy(generator).cpu().eval()
    # A batch size of 1 would become a constant in the exported graph.
    examples = tuple(torch.cat([x, x]).cpu() for x in example_inputs)
    dynamic = tuple({0: torch.export.Dim("batch")} for _ in examples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inputs that share an axis name cause a warning
        # Strict export first: torch.onnx.export by itself turns `len(z)` into a constant without a warning.
        exported = torch.export.export(generator, examples, dynamic_shapes=dynamic, strict=True)
        program = torch.onnx.export(
            exported,
            examples,
            input_names=input_names,
            output_names=["x"],
            dynamic_shapes=dynamic,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    _compare(generator, examples, data)
    return _write(Path(path), data)


def _forget_origin(message: Any) -> None:
    """Delete the exporter's stack traces from every node: they hold folders and source lines of this machine."""
    for field, value in message.ListFields():
        if field.name == "metadata_props":
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _forget_origin(part)


def _compare(generator: nn.Module, examples: Sequence[Tensor], data: bytes) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    noise = rng.generator(0, "onnx")
    for size in BATCH_SIZES:
        inputs = [x[torch.arange(size) % len(x)] for x in examples]
        # Noise is added because the examples may be zeros, for which wrong outputs can agree.
        inputs = [x + torch.randn(x.shape, generator=noise) if x.is_floating_point() else x for x in inputs]
        with torch.no_grad():
            expected = generator(*inputs).numpy()
        (got,) = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        difference = float(np.abs(got - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):  # NaN too
            raise RuntimeError(f"ONNX differs from PyTorch by {difference:.2e} with a batch of {size}")


def _write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest()
