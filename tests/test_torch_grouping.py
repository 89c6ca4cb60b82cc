"""`regularize` chooses weights and groups by layer type: input channels and columns; biases and the like are free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from optkit.core import Regularizer
from optkit.regularizers import L1, GroupLasso, Scaled
from optkit.torch import RAMDA, regularize, structured

PSI = GroupLasso(0.1)
COLUMNS = GroupLasso(0.1, axes=(0,))


def choice(model: nn.Module, psi: Regularizer = PSI) -> dict[str, Regularizer | None]:
    """The regularizer of every parameter by name; each is there once."""
    found = [(name, group["regularizer"]) for group in regularize(model, psi) for name, _ in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


class Attention(nn.Module):
    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, **given)


class Language(nn.Module):
    """An embedding whose weight the output layer shares, listed before or after it."""

    def __init__(self, output_first: bool) -> None:
        super().__init__()
        if output_first:
            self.output = nn.Linear(4, 7)
        self.embedding = nn.Embedding(7, 4)
        if not output_first:
            self.output = nn.Linear(4, 7)
        self.hidden = nn.Linear(4, 4)
        self.output.weight = self.embedding.weight


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def conv(*axes: int) -> GroupLasso:
    return GroupLasso(0.1, axes=axes)


LAYERS: dict[str, tuple[Callable[[], nn.Module], dict[str, Regularizer | None]]] = {
    "Linear": (lambda: nn.Linear(3, 5), {"weight": COLUMNS, "bias": None}),
    "Conv1d": (lambda: nn.Conv1d(3, 5, 2), {"weight": conv(0, 2), "bias": None}),
    "Conv2d": (lambda: nn.Conv2d(3, 5, 2), {"weight": conv(0, 2, 3), "bias": None}),
    "Conv3d": (lambda: nn.Conv3d(3, 5, 2, bias=False), {"weight": conv(0, 2, 3, 4)}),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(3, 5, 2), {"weight": conv(1, 2), "bias": None}),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 5, 2), {"weight": conv(1, 2, 3), "bias": None}),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(3, 5, 2), {"weight": conv(1, 2, 3, 4), "bias": None}),
    "LSTM": (
        lambda: nn.LSTM(3, 4, proj_size=2),
        {
            "weight_ih_l0": COLUMNS,
            "weight_hh_l0": COLUMNS,
            "bias_ih_l0": None,
            "bias_hh_l0": None,
            "weight_hr_l0": COLUMNS,
        },
    ),
    "GRU": (
        lambda: nn.GRU(3, 4, bias=False, bidirectional=True),
        {f"weight_{kind}_l0{way}": COLUMNS for way in ("", "_reverse") for kind in ("ih", "hh")},
    ),
    "LSTMCell": (
        lambda: nn.LSTMCell(3, 4),
        {"weight_ih": COLUMNS, "weight_hh": COLUMNS, "bias_ih": None, "bias_hh": None},
    ),
    "MultiheadAttention": (
        Attention,
        {
            "attention.in_proj_weight": COLUMNS,
            "attention.in_proj_bias": None,
            "attention.out_proj.weight": COLUMNS,
            "attention.out_proj.bias": None,
        },
    ),
    "MultiheadAttention, other sizes": (
        lambda: Attention(kdim=3, vdim=5, bias=False, add_bias_kv=True),
        {
            **{f"attention.{kind}_proj_weight": COLUMNS for kind in "qkv"},
            "attention.bias_k": None,
            "attention.bias_v": None,
            "attention.out_proj.weight": COLUMNS,
        },
    ),
    "norms": (
        lambda: nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.LayerNorm(5), nn.PReLU()),
        {"0.weight": COLUMNS, **dict.fromkeys(("0.bias", "1.weight", "1.bias", "2.weight", "2.bias", "3.weight"))},
    ),
    "tied to an embedding": (
        lambda: Language(output_first=False),
        {"embedding.weight": None, "output.bias": None, "hidden.weight": COLUMNS, "hidden.bias": None},
    ),
    "tied to a later embedding": (
        lambda: Language(output_first=True),
        {"output.weight": None, "output.bias": None, "hidden.weight": COLUMNS, "hidden.bias": None},
    ),
    "tied": (Tied, {"first.weight": COLUMNS, "first.bias": None, "second.bias": None}),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_what_is_regularized_and_along_which_axes(layer: str) -> None:
    make, expected = LAYERS[layer]
    model = make()
    assert choice(model) == expected
    assert set(expected) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("layer", LAYERS)
def test_the_groups_train_and_a_zero_group_is_an_input_that_does_not_matter(layer: str) -> None:
    model = LAYERS[layer][0]()
    optimizer = RAMDA(regularize(model, GroupLasso(1e3)), lr=0.1)
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    names = [name for name, psi in LAYERS[layer][1].items() if psi is not None]
    assert set(optimizer.structure()) == set(names)
    with structured(model, optimizer):
        for name, p in model.named_parameters():
            assert bool((p == 0).all()) == (name in names)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.Linear(3, 5), torch.randn(2, 3)),
        (nn.Conv2d(3, 5, 2), torch.randn(2, 3, 6, 6)),
        (nn.ConvTranspose2d(3, 5, 2), torch.randn(2, 3, 6, 6)),
    ],
    ids=["Linear", "Conv2d", "ConvTranspose2d"],
)
def test_a_group_is_one_input_channel(model: nn.Module, inputs: torch.Tensor) -> None:
    """With group 1 zero the output does not depend on channel 1, and on every other channel it does."""
    group = regularize(model, PSI)[0]
    ((_, weight),), psi = group["params"], group["regularizer"]
    with torch.no_grad():
        norms = psi.group_norm(weight)
        weight *= (torch.arange(norms.numel()) != 1).view(norms.shape)
        for channel in range(3):
            changed = inputs.clone()
            changed[:, channel] += 1
            assert torch.equal(model(changed), model(inputs)) == (channel == 1)


def test_axes_that_are_given_are_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 2), nn.Linear(5, 2))
    rows = GroupLasso(0.1, axes=(-1,))
    assert choice(model, rows) == {"0.weight": rows, "0.bias": None, "1.weight": rows, "1.bias": None}
    assert choice(nn.Conv2d(4, 4, 3, groups=4), rows) == {"weight": rows, "bias": None}


@pytest.mark.parametrize("psi", [GroupLasso(0.5, scale_by_size=False), GroupLasso(0.5)], ids=str)
def test_the_other_fields_are_kept(psi: GroupLasso) -> None:
    chosen = choice(nn.Linear(3, 5, bias=False), psi)["weight"]
    assert chosen == GroupLasso(0.5, axes=(0,), scale_by_size=psi.scale_by_size)


def test_regularizers_without_axes_are_accepted() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 2), nn.Linear(5, 2), nn.Conv2d(4, 4, 3, groups=4, bias=False))
    expected = {"0.weight": L1(0.1), "0.bias": None, "1.weight": L1(0.1), "1.bias": None, "2.weight": L1(0.1)}
    assert choice(model, L1(0.1)) == expected


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    model[0].requires_grad_(False)
    assert choice(model) == {"1.weight": COLUMNS, "1.bias": None}


def test_a_frozen_grouped_convolution_is_left_out() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4).requires_grad_(False), nn.Linear(5, 2))
    assert choice(model) == {"1.weight": COLUMNS, "1.bias": None}


def test_the_groups_suit_torch_optim_which_does_not_regularize() -> None:
    """So that the dense twin of a run takes the same groups."""
    model, twin = nn.Linear(3, 5), nn.Linear(3, 5)
    twin.load_state_dict(model.state_dict())
    optimizers = torch.optim.AdamW(regularize(model, PSI)), torch.optim.AdamW(twin.parameters())
    for some, optimizer in zip((model, twin), optimizers, strict=True):
        for p in some.parameters():
            p.grad = torch.ones_like(p)
        optimizer.step()
    assert torch.equal(model.weight, twin.weight) and torch.equal(model.bias, twin.bias)


@pytest.mark.parametrize("make", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d])
def test_the_input_channels_of_a_grouped_convolution_are_the_right_ones(make: Callable[..., Any]) -> None:
    """What a zero group says: the module's output does not change with that input channel, and with all others."""
    module = make(6, 4, 3, groups=2, bias=False)
    regularized = regularize(module, GroupLasso(1.0))[0]["regularizer"]
    inputs, size = torch.ones(1, 6, *(3,) * (module.weight.ndim - 2)), module.weight.numel()
    for channel in range(6):
        moved = inputs.clone()
        moved[0, channel] += 1
        (reached,) = torch.autograd.grad(((module(moved) - module(inputs)) ** 2).sum(), module.weight)
        with torch.no_grad():
            weight = torch.where(reached == 0, module.weight, 0.0)  # without the weights that see the channel
        manifold = regularized.manifold(weight)
        assert str(manifold) == "1 of 6 groups zero" and manifold.dimension == size - size // 6
        assert regularized.manifold(module.weight).dimension == size


def test_a_grouped_convolution_is_solved_exactly() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(6, 4, 3, groups=2)
    optimizer = RAMDA(regularize(module, GroupLasso(0.02)), lr=0.1, averaging=1.0)
    for _ in range(100):  # only four of the six channels matter
        optimizer.zero_grad()
        x = torch.randn(8, 6, 5, 5)
        (module(x) - x[:, [0, 1, 3, 4], 1:-1, 1:-1]).square().mean().backward()
        optimizer.step()
    assert optimizer.uncertified == 0 and str(optimizer.structure()["weight"]) == "2 of 6 groups zero"
    residual = optimizer.certificate().residual
    assert residual is not None and residual < 1e-6


@pytest.mark.parametrize(
    ("model", "psi", "error", "words"),
    [
        (
            nn.Sequential(nn.Embedding(5, 3), nn.LayerNorm(3)),
            PSI,
            ValueError,
            "found no convolution, Linear, recurrent",
        ),
        (nn.Linear(3, 5).requires_grad_(False), PSI, ValueError, "weight that requires a gradient"),
        (nn.Sequential(), PSI, ValueError, "found no convolution"),
        (nn.Linear(3, 5), conv(0, 2, 3), ValueError, r"^weight: GroupLasso: axes \(0, 2, 3\) do not exist in an array"),
        (nn.Linear(3, 5), conv(0, -2), ValueError, r"^weight: GroupLasso: axes \(0, -2\) name an axis .* twice"),
        (nn.Linear(3, 5), 0.1, TypeError, "psi must be a Regularizer, got 0.1"),
        (nn.Linear(3, 5), GroupLasso, TypeError, "psi must be a Regularizer, got the class GroupLasso"),
        (PSI, nn.Linear(3, 5), TypeError, "model must be a Module, .*give the model first"),
        (list(nn.Linear(3, 5).parameters()), PSI, TypeError, "model must be a Module"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_refused(model: Any, psi: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        regularize(model, psi)


def test_a_weight_computed_from_others_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    nn.utils.parametrizations.weight_norm(model[0])
    with pytest.raises(ValueError, match=r"0: its weight is computed from other parameters"):
        regularize(model, GroupLasso(1.0))


def test_axes_are_chosen_inside_a_multiple() -> None:
    group = regularize(nn.Linear(3, 5), Scaled(GroupLasso(1.0), 2.0))[0]
    assert group["regularizer"] == Scaled(GroupLasso(1.0, axes=(0,)), 2.0)
