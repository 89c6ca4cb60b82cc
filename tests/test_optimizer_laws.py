"""Every optimizer obeys all laws of optkit.testing, and so do the layers of torch and its compiled models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import optkit.torch
from optkit.regularizers import L1, GroupLasso
from optkit.testing import OPTIMIZER_LAWS, check_optimizer
from optkit.torch import RAMDA, MethodOptimizer, regularize, structured

from .torch_cases import ALL_OPTIMIZERS, OPTIMIZERS, Make, averaged


@pytest.mark.parametrize("law", OPTIMIZER_LAWS)
@ALL_OPTIMIZERS
def test_the_laws_hold(make: Make, law: str) -> None:
    check_optimizer(make, laws=[law])


def test_every_optimizer_is_in_the_list() -> None:
    public = [getattr(optkit.torch, name) for name in optkit.torch.__all__]
    classes = {part for part in public if inspect.isclass(part) and issubclass(part, MethodOptimizer)}
    listed = [getattr(make, "func", make) for make in OPTIMIZERS.values()]
    assert classes == set(listed)


@pytest.mark.parametrize("law", ["a_run_resumes_bit_by_bit", "structured_holds_the_solution", "zeros_are_exact"])
def test_other_regularizers_may_be_tried(law: str) -> None:
    check_optimizer(OPTIMIZERS["RAMDA"], laws=[law], penalty=L1)


def test_a_method_of_ones_own_goes_through_in_one_line() -> None:
    check_optimizer(
        lambda params, **options: MethodOptimizer(params, averaged, **{"lr": 0.1, **options}),
        laws=["it_is_a_torch_optimizer", "a_run_resumes_bit_by_bit"],
    )


# --- layers -----------------------------------------------------------------------------------------------------------


class First(nn.Module):
    """The first output of a layer that has several."""

    def __init__(self, layer: nn.Module, copies: int = 1) -> None:
        super().__init__()
        self.layer, self.copies = layer, copies

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(*[x] * self.copies)[0]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "Linear": (lambda: nn.Linear(4, 5), (7, 4), 1),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3), (7, 4, 5), 1),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3), (7, 4, 5, 5), 1),
    "Conv2d, channels_last": (
        lambda: nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        (7, 4, 5, 5),
        1,
    ),
    "Conv3d": (lambda: nn.Conv3d(4, 6, 2), (7, 4, 3, 3, 3), 1),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3), (7, 4, 5, 5), 1),
    "grouped Conv2d": (lambda: nn.Conv2d(4, 6, 3, groups=2), (7, 4, 5, 5), 1),
    "depthwise Conv1d": (lambda: nn.Conv1d(4, 4, 3, groups=4), (7, 4, 5), 1),
    "LSTM": (lambda: First(nn.LSTM(4, 5, batch_first=True)), (7, 3, 4), 2),
    "GRU": (lambda: First(nn.GRU(4, 5, batch_first=True)), (7, 3, 4), 2),
    "MultiheadAttention": (lambda: First(nn.MultiheadAttention(4, 2, batch_first=True), copies=3), (7, 3, 4), 2),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_an_input_whose_group_is_zero_does_not_matter(layer: str) -> None:
    """Two steps train; under a strength that zeroes one input's group, What_t's output does not depend on it."""
    make, shape, axis = LAYERS[layer]
    torch.manual_seed(0)
    model = make()
    optimizer = RAMDA(regularize(model, GroupLasso(1e-3)), lr=0.1, averaging=1.0)
    x = torch.randn(shape)
    x.select(axis, 1).zero_()  # an input without any influence on the loss: its weights only shrink
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "weight_ih" in name or "in_proj_weight" in name or name == "weight":
                _input(model, p, 1).mul_(1e-4)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
    assert float(model(x).square().mean().detach()) < losses[0]
    with structured(model, optimizer), torch.no_grad():
        other = x.clone()
        other.select(axis, 1).fill_(100.0)
        torch.testing.assert_close(model(other), model(x), rtol=0, atol=0)
        assert any(bool(p.any()) for name, p in model.named_parameters() if "weight" in name)


def _input(model: nn.Module, weight: torch.Tensor, i: int) -> torch.Tensor:
    """The entries of the weight that input i goes through."""
    count = getattr(model, "groups", 1)
    if isinstance(model, nn.ConvTranspose2d):
        return weight[i]
    if count == 1:
        return weight[:, i]
    return weight.view(count, -1, *weight.shape[1:])[i // weight.shape[1], :, i % weight.shape[1]]


@pytest.mark.slow
def test_a_compiled_model_walks_as_it_is() -> None:
    def run(compiled: bool) -> list[Any]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
        forward = torch.compile(model, backend="eager") if compiled else model
        optimizer = RAMDA(regularize(model, GroupLasso(1e-2)), lr=0.1, averaging=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            forward(torch.ones(5, 6)).square().mean().backward()
            optimizer.step()
        with structured(model, optimizer):
            return [p.detach().clone() for p in forward.parameters()]

    torch.testing.assert_close(run(True), run(False), rtol=1e-6, atol=1e-6)
