"""The sum of regularizers over named arrays, such as the weights of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optkit import validate
from optkit.core import Array, Manifold, Regularizer


@dataclass(frozen=True)
class SeparableSum:
    """psi(w) = sum of psi_name(w[name]) over the names;  prox, subdifferential and manifold go name by name.

    parts: a Regularizer for each name. w, v, u and gradient are mappings with an array for each of these names, and
    only for these; for an array that is not to be regularized say Zero(). The facts hold where they hold for all parts.
    Raises TypeError for parts that are no regularizers, ValueError for other names.

    Reference: Parikh and Boyd, "Proximal algorithms", 2014, section 2.1.
    """

    parts: Mapping[str, Regularizer]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not self.parts:
            raise TypeError(f"parts must map at least one name to a Regularizer, got {self.parts!r}")
        for name, psi in self.parts.items():
            validate.instance(f"parts[{name!r}]", psi, Regularizer, "for example L1(1e-3), or Zero() for none")
        validate.store(self, parts=dict(self.parts))

    def __hash__(self) -> int:
        return hash(frozenset(self.parts.items()))

    @property
    def convex(self) -> bool:
        """All parts are convex."""
        return all(psi.convex for psi in self.parts.values())

    @property
    def separable(self) -> bool:
        """The blocks of all parts are single entries."""
        return all(psi.separable for psi in self.parts.values())

    @property
    def homogeneous(self) -> bool:
        """psi(c w) = c psi(w) for all c > 0."""
        return all(psi.homogeneous for psi in self.parts.values())

    @property
    def weak_convexity(self) -> float:
        """The least rho >= 0 such that psi + rho/2 ||.||^2 is convex: the largest of the parts."""
        return max(psi.weak_convexity for psi in self.parts.values())

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ValueError, naming the array, for other names and for shapes that a part does not fit."""
        self._match(shapes)
        for name, psi in self.parts.items():
            try:
                psi.check(tuple(shapes[name]))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    def value(self, w: Mapping[str, Array]) -> Array:
        """psi(w), a 0-d array."""
        return sum(self._each(lambda psi, a: psi.value(a), w).values())

    def prox(self, v: Mapping[str, Array], scale: Mapping[str, Any] | float) -> dict[str, Array]:
        """The proximal map of each part.  scale: a number, or for each name a scale that its part accepts."""
        scales = scale if isinstance(scale, Mapping) else dict.fromkeys(self.parts, scale)
        return self._each(lambda psi, a, s: psi.prox(a, s), v, scales)

    def project_subdifferential(self, w: Mapping[str, Array], u: Mapping[str, Array]) -> dict[str, Array]:
        """The element of the subdifferential at w nearest to u."""
        return self._each(lambda psi, a, b: psi.project_subdifferential(a, b), w, u)

    def manifold(self, w: Mapping[str, Array]) -> ProductManifold:
        """The product of the parts' active manifolds."""
        return ProductManifold(tuple(self._each(lambda psi, a: psi.manifold(a), w).items()))

    def margin(self, w: Mapping[str, Array], gradient: Mapping[str, Array]) -> Array:
        """The least margin of the parts, a 0-d array."""
        return min(self._each(lambda psi, a, g: psi.margin(a, g), w, gradient).values(), key=float)

    def lambda_max(self, gradient: Mapping[str, Array]) -> Array:
        """The largest lambda_max of the parts, a 0-d array: for parts of one strength."""
        return max(self._each(lambda psi, g: psi.lambda_max(g), gradient).values(), key=float)

    def _each(self, function: Callable[..., Any], *arguments: Mapping[str, Any]) -> dict[str, Any]:
        for argument in arguments:
            self._match(argument)
        return {name: function(psi, *(a[name] for a in arguments)) for name, psi in self.parts.items()}

    def _match(self, arrays: Mapping[str, Any]) -> None:
        if arrays.keys() != self.parts.keys():
            missing, unknown = sorted(self.parts.keys() - arrays.keys()), sorted(arrays.keys() - self.parts.keys())
            raise ValueError(
                f"SeparableSum has the parts {', '.join(self.parts)}: missing {missing}, unknown {unknown}; "
                "give an array for each part, and Zero() as the part of an array without a regularizer"
            )


@dataclass(frozen=True)
class ProductManifold(Manifold):
    """The product of the manifolds of named arrays.  parts: (name, manifold) pairs."""

    parts: tuple[tuple[str, Manifold], ...]

    @property
    def dimension(self) -> int:
        return sum(manifold.dimension for _, manifold in self.parts)

    @property
    def ambient(self) -> int:
        return sum(manifold.ambient for _, manifold in self.parts)

    def contains(self, w: Mapping[str, Array], tol: float = 0.0) -> bool:
        return all(manifold.contains(w[name], tol) for name, manifold in self.parts)

    def distance(self, other: Manifold) -> int:
        if not isinstance(other, ProductManifold):
            raise TypeError(f"a ProductManifold is compared with another, got {type(other).__name__}")
        ours, theirs = dict(self.parts), dict(other.parts)
        if ours.keys() != theirs.keys():
            raise ValueError(f"the manifolds are of different arrays: {sorted(ours)}, {sorted(theirs)}")
        return sum(manifold.distance(theirs[name]) for name, manifold in ours.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProductManifold) and dict(self.parts) == dict(other.parts)

    def __hash__(self) -> int:
        return hash(frozenset(self.parts))

    def __str__(self) -> str:
        return "; ".join(f"{name}: {manifold}" for name, manifold in self.parts)
