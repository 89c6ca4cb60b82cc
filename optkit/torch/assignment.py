"""Which rule a parameter falls under, and what it gets: every rule must matter and every regularizer fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from torch import nn

from optkit.core import Regularizer

from .layers import LAYERS, Axes, Listed, Place, chooses_axes, computed, with_axes
from .rules import OfType, Rule, some


class Assigned(NamedTuple):
    """What a parameter gets.

    number, rule: the rule that it falls under, from 1; 0 and None without one, and for frozen parameters;
    psi: the regularizer with its axes, None for a free or frozen one;  axes: those chosen by layer type, if any were.
    """

    listed: Listed
    number: int = 0
    rule: Rule | None = None
    psi: Regularizer | None = None
    axes: Axes | None = None


def assign(model: nn.Module, parameters: Sequence[Listed], rules: Sequence[Rule]) -> list[Assigned]:
    """Each parameter under the first rule that matches it.

    Raises ValueError for a rule without a parameter of its own, for a weight of a type's rule that is computed from
    other parameters, and for a regularizer that does not fit the shape or has no axes.
    """
    _refuse_computed(model, rules)
    places = [[rule.match(listed) for rule in rules] for listed in parameters]
    winners = [next((i for i, place in enumerate(row) if place), None) for row in places]
    for i in range(len(rules)):
        matched = [(listed, winner) for listed, row, winner in zip(parameters, places, winners, strict=True) if row[i]]
        _require_own(i, rules, matched, parameters)
    return [
        Assigned(listed) if winner is None else _assigned(listed, winner + 1, rules[winner], row[winner])
        for listed, row, winner in zip(parameters, places, winners, strict=True)
    ]


def _require_own(
    i: int, rules: Sequence[Rule], matched: Sequence[tuple[Listed, int | None]], parameters: Sequence[Listed]
) -> None:
    """Refuse rule i if it decides about no parameter.  matched: the parameters that it matches, and who takes them."""
    rule, trained = rules[i], [(listed, winner) for listed, winner in matched if listed.parameter.requires_grad]
    if any(winner == i for _, winner in trained):
        return
    if isinstance(rule, OfType) and rule.types == LAYERS and not trained:
        raise ValueError(
            "regularize found no convolution, Linear, recurrent or attention weight that requires a gradient; for "
            "other parameters give rules, such as {'*.weight': GroupLasso(1e-4, axes=0)}"
        )
    if not matched:
        _fail(i, rule, f"no parameter; {rule.nearest(parameters)}")
    if not trained:
        names = some([listed.name for listed, _ in matched])
        _fail(i, rule, f"only frozen parameters: {names}; unfreeze them by requires_grad_(True) or drop the rule")
    takers = [f"{listed.name} (by {rules[winner].label!r})" for listed, winner in trained if winner is not None]
    _fail(i, rule, f"only parameters that earlier rules take: {some(takers)}; put this rule first")


def _fail(i: int, rule: Rule, found: str) -> NoReturn:
    raise ValueError(f"rule {i + 1} ({rule.label!r}) matches {found}")


def _assigned(listed: Listed, number: int, rule: Rule, place: Place | None) -> Assigned:
    if not listed.parameter.requires_grad:
        return Assigned(listed)
    psi, axes = rule.psi, None
    if psi is not None and chooses_axes(psi):
        known = [where.axes for where in (place, *listed.places) if where and where.axes]
        if not known:
            raise ValueError(_no_axes(listed, number, rule))
        axes = known[0]
        psi = with_axes(psi, axes)
    if psi is not None:
        try:
            psi.check(listed.shape)
        except ValueError as error:
            raise ValueError(f"{listed.name}: {error}") from None
    return Assigned(listed, number, rule, psi, axes)


def _no_axes(listed: Listed, number: int, rule: Rule) -> str:
    remedies = {
        0: "use L1 for it",
        1: "give axes=0 for one group of all entries, or use L1 for groups of one entry",
    }
    remedy = remedies.get(len(listed.shape), "give axes, those that one group extends over, for example axes=0")
    return (
        f"{listed.name} of shape {listed.shape}: {type(rule.psi).__name__} has axes=None, and its layer has no default "
        f"grouping; {remedy}, or put a rule ({listed.name!r}, None) before rule {number} ({rule.label!r})"
    )


def _refuse_computed(model: nn.Module, rules: Sequence[Rule]) -> None:
    """A rule for a type may not take a weight that is no parameter. Who names it by a glob knows."""
    for place in computed(model):
        first = next((rule for rule in rules if rule.matches(place)), None)
        if isinstance(first, OfType) and first.psi is not None:
            prefix = place.name.rpartition(".")[0]
            raise ValueError(
                f"{prefix or type(place.module).__name__}: its weight is computed from other parameters (pruning or "
                "parametrization); remove that, or put rules for the names of those parameters first, such as "
                f"({f'{prefix}.*' if prefix else '*'!r}, None)"
            )
