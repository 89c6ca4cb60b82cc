"""What the type of a layer says about its parameters: which are its weights, and over which axes a group extends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import nn
from torch.nn.parameter import is_lazy

from optkit.core import Regularizer
from optkit.regularizers import Grouped, OnView, Scaled

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FREE = (nn.Embedding, nn.EmbeddingBag)
_CONTAINERS = (nn.Module.__module__, nn.Sequential.__module__)

LAYERS = (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
"""The module types that have a default grouping."""


class Axes(NamedTuple):
    """axes: those a group extends over, in the weight or, where shape is given, in the weight viewed in that shape."""

    axes: tuple[int, ...]
    shape: tuple[int, ...] | None = None


class Place(NamedTuple):
    """A place of a parameter in the model. One that is shared has several.

    name: the full one;  module: the one that owns it directly;  parameter: None for a weight that is computed from
    other parameters;  weight: whether a rule for the module's type takes it;  axes: those of the default grouping, if
    there is one.
    """

    name: str
    module: nn.Module
    parameter: nn.Parameter | None
    weight: bool
    axes: Axes | None


@dataclass(frozen=True)
class Listed:
    """A parameter with all its places, in the order of `model.named_modules()`."""

    parameter: nn.Parameter
    places: tuple[Place, ...]

    @property
    def name(self) -> str:
        """The first of its names, that of `model.named_parameters()`."""
        return self.places[0].name

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.parameter.shape)


def listed(model: nn.Module) -> list[Listed]:
    """Every parameter once, in the order of `model.named_parameters()`. Raises ValueError for lazy ones."""
    found: dict[nn.Parameter, list[Place]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for key, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            name = _joined(prefix, key)
            if is_lazy(parameter):
                raise ValueError(f"{name} has no shape yet: its module is lazy; run a batch through the model first")
            place = Place(name, module, parameter, _is_weight(module, key, parameter), _axes(module, key, parameter))
            found.setdefault(parameter, []).append(place)
    return [Listed(parameter, tuple(_free_embeddings(places))) for parameter, places in found.items()]


def computed(model: nn.Module) -> Iterator[Place]:
    """The weights of the default grouping that are no parameters, but computed from other ones."""
    for prefix, module in model.named_modules():
        if not isinstance(module, LAYERS):
            continue
        keys = {key for key in getattr(module, "parametrizations", ()) if "weight" in key}
        if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)):
            keys = {"weight"} - {key for key, _ in module.named_parameters(recurse=False)}
        for key in sorted(keys):
            yield Place(_joined(prefix, key), module, None, weight=True, axes=None)


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _free_embeddings(places: list[Place]) -> list[Place]:
    """A weight that an embedding shares is a weight of the embedding only."""
    if not any(isinstance(place.module, _FREE) for place in places):
        return places
    return [place._replace(weight=place.weight and not isinstance(place.module, LAYERS)) for place in places]


def _is_weight(module: nn.Module, key: str, parameter: nn.Parameter) -> bool:
    if isinstance(module, LAYERS):
        return _axes(module, key, parameter) is not None
    homes = {kind.__module__ for kind in type(module).__mro__}
    of_torch = any(home.startswith("torch.nn.modules.") and home not in _CONTAINERS for home in homes)
    return "weight" in key if of_torch else parameter.ndim >= 2


def _axes(module: nn.Module, key: str, parameter: nn.Parameter) -> Axes | None:
    """All axes but that of the inputs."""
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED)):
        return _convolution_axes(module, parameter) if key == "weight" else None
    if isinstance(module, nn.Linear):
        return Axes((0,)) if key == "weight" else None
    return Axes((0,)) if isinstance(module, LAYERS) and "weight" in key else None


def _convolution_axes(module: nn.Module, weight: nn.Parameter) -> Axes:
    transposed, groups = isinstance(module, _TRANSPOSED), int(module.groups)  # type: ignore[arg-type]  # an integer
    if groups > 1 and not transposed:
        shape = (groups, weight.shape[0] // groups, *weight.shape[1:])
        return Axes((1, *range(3, len(shape))), shape)
    inputs = 0 if transposed else 1
    return Axes(tuple(axis for axis in range(weight.ndim) if axis != inputs))


def chooses_axes(psi: Regularizer) -> bool:
    """Whether psi leaves its axes to the layer."""
    if isinstance(psi, Scaled):
        return chooses_axes(psi.psi)
    return isinstance(psi, Grouped) and psi.axes is None


def with_axes(psi: Regularizer, axes: Axes) -> Regularizer:
    """psi, which leaves its axes to the layer, with these."""
    if isinstance(psi, Scaled):
        return replace(psi, psi=with_axes(psi.psi, axes))
    chosen: Regularizer = replace(psi, axes=axes.axes)  # type: ignore[type-var]  # every part is a dataclass
    return chosen if axes.shape is None else OnView(chosen, axes.shape)
