"""A regularizer on a view of the array: permuted axes, another shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from array_api_compat import array_namespace, device

from optkit import validate
from optkit.core import Array, Manifold, Regularizer


@dataclass(frozen=True)
class OnView(Regularizer):
    """psi of the array with its axes permuted and then reshaped: psi(view(w)).  All maps are those of psi on the view.

    psi: a Regularizer;  shape: of the view, where -1 stands for what remains and 0 keeps the length of that axis;
    axes: a permutation of the axes, applied before. OnView(NuclearNorm(1e-3), shape=(0, -1)) takes a convolution weight
    (out, in, height, width) as the matrix (out, in height width); axes=(1, 0, 2, 3) in addition, as (in, out height
    width). Raises ValueError or TypeError for bad fields, ValueError for arrays that have no such view.

    Reference: Parikh and Boyd, "Proximal algorithms", 2014, section 2.2: the prox after an orthogonal map.
    """

    psi: Regularizer
    shape: tuple[int, ...] | None = None
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        validate.instance("psi", self.psi, Regularizer, "for example NuclearNorm(1e-3)")
        for name in ("shape", "axes"):
            if (value := getattr(self, name)) is not None:
                if not isinstance(value, (tuple, list)):
                    raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
                least = -1 if name == "shape" else 0
                numbers = tuple(validate.count(name, number, least) for number in value)
                validate.store(self, **{name: numbers})
        if self.shape is not None and self.shape.count(-1) > 1:
            raise ValueError(f"shape must have at most one -1, got {self.shape}")
        if self.axes is not None and sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(f"axes must be a permutation of 0, 1, ..., got {self.axes}")
        facts = {fact: getattr(self.psi, fact) for fact in ("convex", "separable", "homogeneous")}
        validate.store(self, **facts)

    @property
    def weak_convexity(self) -> float:
        return self.psi.weak_convexity

    @property
    def any_metric(self) -> bool:
        return self.psi.any_metric

    def check(self, shape: tuple[int, ...]) -> None:
        self.psi.check(self._shapes(shape)[1])

    def _shapes(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The shapes after the permutation and after the reshaping."""
        if self.axes is not None and len(self.axes) != len(shape):
            raise ValueError(f"OnView: axes {self.axes} do not permute those of an array of shape {tuple(shape)}")
        permuted = tuple(shape[axis] for axis in self.axes) if self.axes else tuple(shape)
        if self.shape is None:
            return permuted, permuted
        fixed = [permuted[i] if length == 0 and i < len(permuted) else length for i, length in enumerate(self.shape)]
        rest = math.prod(length for length in fixed if length != -1)
        view = tuple(math.prod(shape) // max(rest, 1) if length == -1 else length for length in fixed)
        if math.prod(view) != math.prod(shape):
            raise ValueError(f"OnView: an array of shape {tuple(shape)} can not be viewed in the shape {self.shape}")
        return permuted, view

    def view(self, w: Array) -> Array:
        """w: S with its axes permuted, reshaped."""
        xp, shape = array_namespace(w), self._shapes(tuple(w.shape))[1]
        return xp.reshape(xp.permute_dims(w, self.axes) if self.axes else w, shape)

    def unview(self, a: Array, shape: tuple[int, ...]) -> Array:
        """The array of this shape whose view is a, which broadcasts to the view's shape."""
        xp, (permuted, view) = array_namespace(a), self._shapes(tuple(shape))
        whole = xp.reshape(xp.broadcast_to(a, view), permuted)
        return xp.permute_dims(whole, tuple(map(self.axes.index, range(len(shape))))) if self.axes else whole

    def _view_scale(self, scale: Array | float, shape: tuple[int, ...]) -> Array | float:
        if isinstance(scale, (int, float, Real)) or not scale.shape:
            return scale
        return self.view(array_namespace(scale).broadcast_to(scale, shape))

    def block_values(self, w: Array) -> Array:
        """Each block's value at its first entry, and 0 at the others."""
        xp, values = array_namespace(w), self.psi.block_values(self.view(w))
        for axis, length in enumerate(self._shapes(tuple(w.shape))[1]):
            missing = length - values.shape[axis]
            if missing > 0:
                rest = (*values.shape[:axis], missing, *values.shape[axis + 1 :])
                values = xp.concat((values, xp.zeros(rest, dtype=w.dtype, device=device(w))), axis=axis)
        return self.unview(values, w.shape)

    def prox(self, v: Array, scale: Array | float) -> Array:
        return self.unview(self.psi.prox(self.view(v), self._view_scale(scale, v.shape)), v.shape)

    def project_subdifferential(self, w: Array, u: Array) -> Array:
        return self.unview(self.psi.project_subdifferential(self.view(w), self.view(u)), w.shape)

    def block_margins(self, w: Array, gradient: Array) -> Array:
        return self.unview(self.psi.block_margins(self.view(w), self.view(gradient)), w.shape)

    def block_lambda_max(self, gradient: Array) -> Array:
        return self.unview(self.psi.block_lambda_max(self.view(gradient)), gradient.shape)

    def manifold(self, w: Array) -> Manifold:
        return Viewed(self.psi.manifold(self.view(w)), self, tuple(w.shape))

    def block_max(self, a: Array) -> Array:
        return self.unview(self.psi.block_max(self.view(a)), a.shape)


@dataclass(frozen=True)
class Viewed(Manifold):
    """The arrays whose view lies in a manifold.

    inner: the manifold of the view;  on: the OnView;  shape: that of the arrays.
    """

    inner: Manifold
    on: OnView
    shape: tuple[int, ...]

    @property
    def dimension(self) -> int:
        return self.inner.dimension

    @property
    def ambient(self) -> int:
        return self.inner.ambient

    def contains(self, w: Array, tol: float = 0.0) -> bool:
        return self.inner.contains(self.on.view(w), tol)

    def distance(self, other: Manifold) -> int:
        if not isinstance(other, Viewed):
            raise TypeError(f"a Viewed manifold is compared with another, got {type(other).__name__}")
        if (other.shape, other.on.shape, other.on.axes) != (self.shape, self.on.shape, self.on.axes):
            raise ValueError("the manifolds are of different views")
        return self.inner.distance(other.inner)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Viewed):
            return NotImplemented
        return (self.inner, self.shape, self.on.shape, self.on.axes) == (
            other.inner,
            other.shape,
            other.on.shape,
            other.on.axes,
        )

    def __hash__(self) -> int:
        return hash((self.inner, self.shape))

    def __str__(self) -> str:
        return str(self.inner)
