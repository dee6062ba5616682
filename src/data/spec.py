"""The description of a data set: the named tensors of a sample, and their meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # lazy: data sets use this module without torch
    from torch import Tensor

Batch = dict[str, "Tensor"]  # field name -> [B, *field.shape]; "x" is the field that models generate, "y" a class


@dataclass(frozen=True)
class Field:
    """One named tensor of a sample.

    kind: meaning of the numbers: "image", "points", "class", "tokens" ...
    shape: shape of one sample; (C, H, W) for images, (T,) for token sequences, () for a class.
    dtype: NumPy name of the data set's dtype; models get floats of their own precision instead of uint8.
    names: names of the classes or of the vocabulary, in the order of their numbers.
    rate: steps per second, for data with a time axis.
    levels: number of values of uint8 data, evenly spaced from 0 to 255: 256, or 2 for black and white.
    """

    kind: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    names: tuple[str, ...] = ()
    rate: float | None = None
    levels: int = 256

    def to_model(self, x: Tensor, dtype: Any = None) -> Tensor:
        """Data [..., *shape] to model input: uint8 0..255 becomes float in [-1, 1], other integers do not change."""
        if self.dtype == "uint8":
            from src.data.pixels import from_uint8

            x = from_uint8(x)
        return x.to(dtype) if dtype is not None and x.is_floating_point() else x

    def to_data(self, x: Tensor) -> Tensor:
        """Model output [..., *shape] to the data's dtype, the inverse of `to_model`."""
        if self.dtype == "uint8":
            from src.data.pixels import to_uint8

            return to_uint8(x)
        return x.float() if x.is_floating_point() else x


@dataclass(frozen=True)
class Spec:
    """The interface of a data set: its fields by name. Networks take their sizes from it."""

    fields: Mapping[str, Field]

    @classmethod
    def of(cls, kind: str, shape: tuple[int, ...], classes: tuple[str, ...] = ()) -> Spec:
        """Samples `x` of one kind, images in uint8, others in float32; and their class `y` if `classes` is not empty."""
        fields = {"x": Field(kind, shape, "uint8" if kind == "image" else "float32")}
        return cls(fields | ({"y": Field("class", (), "int64", classes)} if classes else {}))

    @property
    def x(self) -> Field:
        return self.fields["x"]

    @property
    def kind(self) -> str:
        return self.x.kind

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in label order; empty if samples have no class."""
        return self.fields["y"].names if "y" in self.fields else ()

    def to_model(self, batch: Batch, dtype: Any = None) -> Batch:
        """A batch of data to model input; tensors without a field do not change."""
        return {name: self.fields[name].to_model(x, dtype) if name in self.fields else x for name, x in batch.items()}

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            name: {**asdict(field), "shape": list(field.shape), "names": list(field.names)}
            for name, field in self.fields.items()
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Mapping[str, Any]]) -> Spec:
        return cls(
            {
                name: Field(**{**field, "shape": tuple(field["shape"]), "names": tuple(field["names"])})
                for name, field in record.items()
            }
        )
