"""The table that `regularize(..., verbose=True)` prints: what every parameter gets, and by which rule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from optkit.core import Array, Regularizer
from optkit.regularizers import L1, Cardinality, GroupLasso, NMSparsity, NuclearNorm, OnView, Scaled, Zero
from optkit.torch import regularize
from optkit.torch.assignment import assign
from optkit.torch.layers import listed
from optkit.torch.rules import rules_of
from optkit.torch.table import HEADER, block_sizes, table


@dataclass(frozen=True)
class FirstAlone(L1):
    """An l1 norm whose blocks are the first row and each entry of the others."""

    separable = False

    def block_max(self, a: Array) -> Array:
        first = torch.broadcast_to(a[:1].amax(), a[:1].shape)
        return torch.cat((first, a[1:]))


class Plain(GroupLasso):
    """A class without fields of its own."""


def text(model: nn.Module, rules: Any) -> str:
    return table(assign(model, listed(model), rules_of(rules)))


def rows(model: nn.Module, rules: Any) -> dict[str, tuple[str, ...]]:
    """The cells of each parameter behind its name."""
    lines = text(model, rules).splitlines()[1:-1]
    cells = [tuple(re.split(r"  +", line)) for line in lines]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize(
    ("psi", "shape", "sizes"),
    [
        (L1(0.1), (2, 3), [1] * 6),
        (Zero(), (2, 3), [1] * 6),
        (GroupLasso(0.1, axes=(0, 2)), (2, 3, 4), [8] * 3),
        (Scaled(GroupLasso(0.1, axes=(0, 2)), 2.0), (2, 3, 4), [8] * 3),
        (OnView(GroupLasso(0.1, axes=(1,)), (2, -1)), (4, 3), [6] * 2),
        (NuclearNorm(0.1), (4, 3), [12]),
        (Cardinality(3), (4, 3), [12]),
        (NMSparsity(2, 4), (3, 8), [4] * 6),
        (FirstAlone(0.1), (3, 9), [9] + [1] * 18),
        (GroupLasso(0.1, axes=0), (0, 3), []),
        (L1(0.1), (), [1]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_blocks_make_up_the_array(psi: Regularizer, shape: tuple[int, ...], sizes: list[int]) -> None:
    found = block_sizes(psi, shape)
    assert sorted(found) == sorted(sizes) and sum(found) == math.prod(shape)


def test_a_row_says_what_a_parameter_gets() -> None:
    model = nn.ModuleDict(
        {
            "conv": nn.Conv2d(3, 5, 2),
            "norm": nn.LayerNorm(4),
            "fc": nn.Linear(9, 3),
            "frozen": nn.Linear(2, 2, bias=False).requires_grad_(False),
        }
    )
    rules = [("norm.*", None), (nn.Conv2d, GroupLasso(0.25)), ("fc.weight", FirstAlone(1e-4)), ("fc.*", L1(1))]
    assert rows(model, rules) == {
        "conv.weight": ("(5, 3, 2, 2)", "3", "20", "GroupLasso(0.25)", "Conv2d"),
        "conv.bias": ("(5,)", "-", "-", "-", "free"),
        "norm.weight": ("(4,)", "-", "-", "-", "norm.*"),
        "norm.bias": ("(4,)", "-", "-", "-", "norm.*"),
        "fc.weight": ("(3, 9)", "19", "1 to 9", "FirstAlone(0.0001)", "fc.weight"),
        "fc.bias": ("(3,)", "3", "1", "L1(1)", "fc.*"),
        "frozen.weight": ("(2, 2)", "-", "-", "-", "frozen"),
    }
    totals = text(model, rules).splitlines()[-1]
    assert totals == "regularized 90 of 103 entries of the parameters; 4 more are frozen"


def is_wide(name: str, module: nn.Module, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2


class Callable_:
    def __call__(self, name: str, module: nn.Module, parameter: nn.Parameter) -> bool:
        return parameter.ndim == 2


@pytest.mark.parametrize(
    ("rules", "label"),
    [
        (L1(1), "default"),
        ({nn.Linear: L1(1)}, "Linear"),
        ({(nn.Linear, nn.Conv2d): L1(1)}, "(Linear, Conv2d)"),
        ({"w*": L1(1)}, "w*"),
        ({is_wide: L1(1)}, "is_wide"),
        ({Callable_(): L1(1)}, "Callable_"),
    ],
    ids=["default", "type", "types", "glob", "predicate", "object"],
)
def test_a_rule_is_called_as_it_was_written(rules: Any, label: str) -> None:
    assert rows(nn.Linear(3, 2), rules)["weight"][-1] == label


@pytest.mark.parametrize(
    ("psi", "name"),
    [
        (Scaled(GroupLasso(0.1), 2.0), "2 * GroupLasso(0.1)"),
        (Scaled(L1(0.1), [[1.0], [0.0]]), "Scaled(L1(0.1))"),
        (OnView(NuclearNorm(0.1), (0, -1)), "OnView(NuclearNorm(0.1))"),
        (Cardinality(3), "Cardinality(k=3)"),
        (Plain(0.5), "Plain(0.5)"),
    ],
    ids=str,
)
def test_a_regularizer_is_called_by_its_name_and_strength(psi: Regularizer, name: str) -> None:
    assert rows(nn.Linear(3, 2), psi)["weight"][-2] == name


def test_a_shared_parameter_has_one_row_with_its_names() -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 4), "output": nn.Linear(4, 7, bias=False)})
    model["output"].weight = model["embedding"].weight
    found = rows(model, {nn.Embedding: GroupLasso(0.1)})
    assert found == {"embedding.weight = output.weight": ("(7, 4)", "4", "7", "GroupLasso(0.1)", "Embedding")}
    layer = nn.Linear(2, 2, bias=False)
    assert list(rows(nn.Sequential(layer, layer, layer), L1(1))) == ["0.weight = 2 others"]


def test_the_columns_are_aligned() -> None:
    model = nn.ModuleDict({"a": nn.Linear(200, 3), "a_long_name": nn.Conv2d(3, 5, 2)})
    header, *lines = text(model, GroupLasso(0.1)).splitlines()[:-1]
    for title in ("parameter", "shape", "regularizer", "rule"):
        begin = header.index(title)
        assert all(line[begin] != " " and (begin == 0 or line[begin - 2 : begin] == "  ") for line in lines)
    for title in ("groups", "group size"):
        end = header.index(title + "  ") + len(title)
        assert all(line[end - 1] != " " and line[end : end + 2] == "  " for line in lines)
    assert tuple(re.split(r"  +", header)) == HEADER and not any(line.endswith(" ") for line in lines)


def test_the_model_may_lie_on_any_device() -> None:
    """Shapes are enough, and a default device is left alone."""
    with torch.device("meta"):
        model = nn.Conv2d(4, 4, 3, groups=2)
        on_meta = text(model, GroupLasso(0.1))
    assert on_meta == text(nn.Conv2d(4, 4, 3, groups=2), GroupLasso(0.1))


def test_it_is_printed_on_request_only(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(3, 2)
    quiet = regularize(model, L1(0.1))
    assert capsys.readouterr().out == ""
    assert str(regularize(model, L1(0.1), verbose=True)) == str(quiet)
    assert capsys.readouterr().out == text(model, L1(0.1)) + "\n"
    with pytest.raises(TypeError, match="verbose must be True or False, got 1"):
        regularize(model, L1(0.1), verbose=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
