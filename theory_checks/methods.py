"""The methods under test, with step sizes and averaging that meet the conditions of the theorems, and the controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optkit.algorithms import DecayingAveraging, PowerWeighting, ProximalMethod, proxgen, proxsgd, ramda, rmda
from optkit.core import Regularizer
from optkit.solvers import Automatic

from .settings import Settings


def _ramda(psi: Regularizer, *, scale: float = 1.0, **parts: Any) -> ProximalMethod:
    """RAMDA with eta_t = 0.6 scale t^(-1.05) and c_t = min(3 / t, 1)."""
    method = ramda(psi, 0.6 * scale, DecayingAveraging(3.0, power=1.0, offset=0.0), **parts)
    return replace(method, weighting=PowerWeighting(0.5 - 1.05))


def _rmda(psi: Regularizer, *, scale: float = 1.0, **parts: Any) -> ProximalMethod:
    """RMDA with eta_t = 0.7 scale t^(-0.7) and c_t = min(3 / t, 1)."""
    method = rmda(psi, 0.7 * scale, DecayingAveraging(3.0, power=1.0, offset=0.0), **parts)
    return replace(method, weighting=PowerWeighting(0.5 - 0.7))


def _proxsgd(psi: Regularizer, *, scale: float = 1.0, **parts: Any) -> ProximalMethod:
    """ProxSGD with step size 0.3 scale t^(-1/2): its iterates converge, its gradient estimate keeps its variance."""
    return replace(proxsgd(psi, 0.3 * scale, **parts), weighting=PowerWeighting(-0.5))


def _proxgen(psi: Regularizer, *, scale: float = 1.0, **parts: Any) -> ProximalMethod:
    """ProxGen with Adam's metric and step size 0.05 scale t^(-1/2)."""
    return replace(proxgen(psi, 0.05 * scale, epsilon=1e-3, **parts), weighting=PowerWeighting(-0.5))


THEORY: dict[str, Callable[..., ProximalMethod]] = {"RAMDA": _ramda, "RMDA": _rmda}
"""The dual averaging methods that the theorems speak of: functions of psi, and of solver, stopping and scale."""

CONTROLS: dict[str, Callable[..., ProximalMethod]] = {"ProxSGD": _proxsgd, "ProxGen": _proxgen}
"""Methods whose gradient estimate is an exponential moving average: no variance reduction, no identification."""


def controls(settings: Settings) -> dict[str, Callable[..., ProximalMethod]]:
    """CONTROLS, without one that is itself under test."""
    return {label: make for label, make in CONTROLS.items() if label.lower() != settings.method_name.lower()}


def under_test(settings: Settings) -> dict[str, Callable[..., ProximalMethod]]:
    """The method of the settings under its name, or else those of THEORY."""
    if settings.method is None:
        return THEORY
    given = settings.method
    return {settings.method_name: lambda psi, **parts: _with(given(psi), parts)}


def _with(method: ProximalMethod, parts: dict[str, Any]) -> ProximalMethod:
    """The method with the solver and stopping rule of a problem, where it has not its own."""
    changes = {name: parts[name] for name in ("solver", "stopping") if name in parts}
    if method.stopping is not None:
        changes.pop("stopping", None)
    if method.solver != Automatic():
        changes.pop("solver", None)
    return replace(method, **changes)
