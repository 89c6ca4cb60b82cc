"""Rules: which parameters get which regularizer, by module type, by name or by a predicate."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from torch import nn

from optkit import validate
from optkit.core import Regularizer

from .layers import LAYERS, Listed, Place

Rules: TypeAlias = Mapping[Any, Regularizer | None] | Sequence[tuple[Any, Regularizer | None]]

_FORMS = "a module type or a tuple of them, a glob of parameter names, or a predicate (name, module, parameter) -> bool"


@dataclass(frozen=True)
class Rule(ABC):
    """Parameters, and the regularizer that they get. A parameter matches where it does in one of its places.

    psi: None leaves the parameters free.
    """

    psi: Regularizer | None

    @property
    @abstractmethod
    def label(self) -> str:
        """As the user wrote it."""

    @abstractmethod
    def matches(self, place: Place) -> bool: ...

    @abstractmethod
    def nearest(self, parameters: Sequence[Listed]) -> str:
        """What there is instead, for a rule that matches nothing."""

    def match(self, listed: Listed) -> Place | None:
        """The first place of the parameter that matches."""
        return next((place for place in listed.places if self.matches(place)), None)


@dataclass(frozen=True)
class OfType(Rule):
    """The weights directly in modules of some types."""

    types: tuple[type, ...]

    @property
    def label(self) -> str:
        if self.types == LAYERS:
            return "default"
        names = [kind.__name__ for kind in self.types]
        return names[0] if len(names) == 1 else f"({', '.join(names)})"

    def matches(self, place: Place) -> bool:
        return place.weight and isinstance(place.module, self.types)

    def nearest(self, parameters: Sequence[Listed]) -> str:
        places = [place for listed in parameters for place in listed.places]
        own = [place.name for place in places if isinstance(place.module, self.types)]
        if own:
            return (
                f"the type has {some(own)}, but its rule takes only weights, of a class of your own what has two axes "
                "or more, and what an embedding shares only by the embedding's type; name these by a glob"
            )
        types = sorted({type(place.module).__name__ for place in places})
        return (
            f"parameters are directly in modules of the types {', '.join(types) or 'none'}; "
            "for all parameters below a module use a glob of names, such as 'encoder.*'"
        )


@dataclass(frozen=True)
class Named(Rule):
    """The parameters whose full name fits a glob."""

    glob: str

    @property
    def label(self) -> str:
        return self.glob

    def matches(self, place: Place) -> bool:
        return fnmatchcase(place.name, self.glob)

    def nearest(self, parameters: Sequence[Listed]) -> str:
        literals = [part for part in re.split(r"\*|\?|\[.*?\]", self.glob) if part]

        def likeness(name: str) -> tuple[int, float]:
            contained = sum(len(part) for part in literals if part in name)
            return contained, SequenceMatcher(None, "".join(literals).lower(), name.lower()).ratio()

        names = [place.name for listed in parameters for place in listed.places]
        near = sorted(names, key=likeness, reverse=True)[:3]
        return f"the nearest names are {some(near)}" if near else "the model has no parameters"


@dataclass(frozen=True)
class Satisfying(Rule):
    """The parameters for which a predicate of (name, module, parameter) is true."""

    predicate: Callable[[str, nn.Module, nn.Parameter], object]

    @property
    def label(self) -> str:
        return getattr(self.predicate, "__name__", type(self.predicate).__name__)

    def matches(self, place: Place) -> bool:
        if place.parameter is None:
            return False
        answer = self.predicate(place.name, place.module, place.parameter)
        if not isinstance(answer, bool):
            raise TypeError(
                f"the predicate {self.label} must return True or False, got {validate.given(answer)} "
                f"for {place.name}; wrap what it returns in bool(...)"
            )
        return answer

    def nearest(self, parameters: Sequence[Listed]) -> str:
        return f"it returned False for all {len(parameters)} parameters"


def rules_of(psi: Regularizer | Rules) -> list[Rule]:
    """The rules in their order; a regularizer alone is that of all layers with a default grouping.

    Raises TypeError for what is no rule or no regularizer, ValueError without a rule.
    """
    if isinstance(psi, Mapping):
        pairs: list[Any] = list(psi.items())
    elif isinstance(psi, (list, tuple)):
        pairs = list(psi)
    else:
        remedy = "for example optkit.regularizers.GroupLasso(1e-4), or rules such as {nn.Conv2d: GroupLasso(1e-4)}"
        validate.instance("psi", psi, Regularizer, remedy)
        pairs = [(LAYERS, psi)]
    if not pairs:
        raise ValueError("psi has no rule; give at least one, such as {nn.Conv2d: GroupLasso(1e-4)}, or a regularizer")
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(
                f"rule {number} must be a pair (what, regularizer or None), got {validate.given(pair)}; "
                "give a list of pairs, such as [('*.bias', L1(1e-4)), (nn.Conv2d, GroupLasso(1e-4))]"
            )
    return [_rule(number, *pair) for number, pair in enumerate(pairs, 1)]


def _rule(number: int, what: Any, psi: Any) -> Rule:
    rule = _matching(number, what)
    if psi is not None:
        name = f"the regularizer of rule {number} ({rule.label!r})"
        validate.instance(name, psi, Regularizer, "for example GroupLasso(1e-4), or None to leave the parameters free")
    return replace(rule, psi=psi)


def _matching(number: int, what: Any) -> Rule:
    """The rule for this that leaves its parameters free."""
    types = what if isinstance(what, tuple) else (what,)
    if types and all(isinstance(kind, type) for kind in types):
        return OfType(None, types)
    if isinstance(what, str):
        return Named(None, what)
    if isinstance(what, nn.Module):
        kind = type(what).__name__
        raise TypeError(f"rule {number} is for a module, {kind}(...); give its type, {kind}, or a glob of its names")
    if callable(what):
        return Satisfying(None, what)
    raise TypeError(f"rule {number} must be for {_FORMS}; got {validate.given(what)}")


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are more."""
    first = ", ".join(names[:5])
    return first if len(names) <= 5 else f"{first} and {len(names) - 5} more"
