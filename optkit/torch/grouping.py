"""Which parameters of a model are regularized, and what a group is: by layer type, as in the paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from optkit import validate
from optkit.core import Regularizer
from optkit.regularizers import Grouped, OnView, Scaled


class Axes(NamedTuple):
    """axes: those a group extends over, in the weight or, where shape is given, in the weight viewed in that shape."""

    axes: tuple[int, ...]
    shape: tuple[int, ...] | None = None


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FREE = (nn.Embedding, nn.EmbeddingBag)


def regularize(model: nn.Module, psi: Regularizer) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer: weights of convolutions, Linear, recurrent and attention layers get psi.

    A convolution has one group per input channel, a Linear, recurrent or attention weight one per input column. Biases,
    normalization layers, embeddings (also where a Linear shares their weight) and parameters of other modules are free.
    Axes are chosen so when psi has `axes=None`; axes that are given are kept. Frozen parameters are left out.

    In a convolution with groups > 1 the input channels are no axis of the weight; there psi is put on the view
    (groups, outputs of a group, inputs of a group, ...).

    Returns a list of {"params": [(name, tensor), ...], "regularizer": psi or None}, one for each choice of axes.
    Raises TypeError for what is no Module or Regularizer, ValueError for a model without a weight to regularize and for
    axes that do not exist.

    Reference: RAMDA paper (NeurIPS 2024), section 6.
    """
    validate.instance("model", model, nn.Module, "give the model first, then the regularizer")
    validate.instance("psi", psi, Regularizer, "for example optkit.regularizers.GroupLasso(1e-4)")
    axes = _axes_by_tensor(model)
    groups: dict[Axes | None, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(axes.get(parameter), []).append((name, parameter))
    free = groups.pop(None, [])
    if not groups:
        raise ValueError(
            "regularize found no convolution, Linear, recurrent or attention weight that requires a gradient"
        )
    result: list[dict[str, Any]] = []
    for chosen, params in groups.items():
        assert chosen is not None
        result.append({"params": params, "regularizer": _with_axes(psi, chosen)})
        for name, parameter in params:
            _check(name, result[-1]["regularizer"], parameter)
    return [*result, {"params": free, "regularizer": None}] if free else result


def _axes_by_tensor(model: nn.Module) -> dict[Tensor, Axes]:
    """For each weight to be regularized the axes that one group extends over."""
    axes: dict[Tensor, Axes] = {}
    for name, module in model.named_modules():
        for tensor, chosen in _weights(name, module):
            axes[tensor] = chosen
    for module in model.modules():
        if isinstance(module, _FREE):
            axes.pop(module.weight, None)
    return axes


def _weights(name: str, module: nn.Module) -> Iterator[tuple[Tensor, Axes]]:
    """The weights of one module that are regularized, with all axes but that of the inputs."""
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)) and "weight" not in module._parameters:
        raise ValueError(
            f"{name or type(module).__name__}: its weight is computed from other parameters (pruning or "
            "parametrization); remove that, or put those into parameter groups of your own"
        )
    if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED)):
        weight, transposed = module.weight, isinstance(module, _TRANSPOSED)
        if module.groups > 1 and not transposed:
            shape = (module.groups, weight.shape[0] // module.groups, *weight.shape[1:])
            yield weight, Axes((1, *range(3, len(shape))), shape)
        else:
            inputs = 0 if transposed else 1
            yield weight, Axes(tuple(axis for axis in range(weight.ndim) if axis != inputs))
    elif isinstance(module, nn.Linear):
        yield module.weight, Axes((0,))
    elif isinstance(module, (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)):
        for key, parameter in module.named_parameters(recurse=False):
            if "weight" in key:
                yield parameter, Axes((0,))


def _chooses_axes(psi: Regularizer) -> bool:
    if isinstance(psi, Scaled):
        return _chooses_axes(psi.psi)
    return isinstance(psi, Grouped) and psi.axes is None


def _with_axes(psi: Regularizer, axes: Axes) -> Regularizer:
    if not _chooses_axes(psi):
        return psi
    if isinstance(psi, Scaled):
        return replace(psi, psi=_with_axes(psi.psi, axes))
    chosen: Regularizer = replace(psi, axes=axes.axes)  # type: ignore[type-var]  # every part is a dataclass
    return chosen if axes.shape is None else OnView(chosen, axes.shape)


def _check(name: str, psi: Regularizer, parameter: Tensor) -> None:
    try:
        psi.check(tuple(parameter.shape))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
