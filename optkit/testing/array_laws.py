"""The laws of arrays: what goes in stays as it is, what comes out is of the same kind, on every back end alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from optkit.core import Array, Regularizer

from .backends import BACKENDS, Backend, host, kind
from .prox_laws import ties
from .running import law
from .trial import Drawn, Trial


def _results(trial: Trial, psi: Regularizer, v: Array) -> dict[str, Array]:
    """What psi makes of v, by name; lambda_max and margin where they are defined."""
    p = psi.prox(v, 0.5)
    results = {
        "prox": p,
        "prox with an array of scales": psi.prox(v, psi.block_max(0.5 + 0 * v)),
        "project_subdifferential": psi.project_subdifferential(p, v),
        "block_max": psi.block_max(v),
        "block_values": psi.block_values(v),
        "value": psi.value(v),
    }
    later: dict[str, Callable[[], Array]] = {
        "margin": lambda: psi.margin(p, 2 * (p - v)),
        "lambda_max": lambda: psi.lambda_max(v),
    }
    for name, call in later.items():
        try:
            results[name] = call()
        except TypeError:  # psi does not define it
            continue
    return results


def arrays_keep_their_kind(trial: Trial) -> None:
    """What comes out has the namespace, dtype and device of what went in, and its shape where it is one an entry."""
    psi, v = trial.ordinary(), trial.common()
    for name, result in _results(trial, psi, v).items():
        law(kind(result) == kind(v), f"{name} returns {kind(result)} for {kind(v)}")
        shape = tuple(result.shape)
        if name in ("value", "margin", "lambda_max"):
            law(shape == (), f"{name} has the shape {shape}")
        elif name not in ("block_max", "block_values"):
            law(shape == trial.shape, f"{name} has the shape {shape} for {trial.shape}")
        else:
            law(np.broadcast_shapes(shape, trial.shape) == trial.shape, f"{name} has the shape {shape}")


def inputs_are_untouched(trial: Trial) -> None:
    """No method changes an array it is given."""
    psi, before = trial.ordinary(), trial.common()
    v, u, scale = (trial.backend.array(host(a)) for a in (before, before, 0.5 + 0 * before))
    _results(trial, psi, v)
    psi.manifold(v)
    psi.prox(v, scale)
    psi.project_subdifferential(v, u)
    for a, b in ((v, before), (u, before), (scale, 0.5 + 0 * before)):
        law(host(a) == host(b), f"{host(b)} has become {host(a)}")


def the_shape_is_accepted(trial: Trial) -> None:
    """check(shape) raises nothing for a shape that the other laws are tried on."""
    trial.ordinary().check(trial.shape)


def back_ends_agree(trial: Trial) -> None:
    """prox, value and project_subdifferential are those of numpy, up to rounding of the block's numbers."""
    psi, v, scale = trial.drawn()
    other = numpys(trial.backend)
    w, u = other.array(host(v)), trial.wide()
    p, q = host(psi.prox(v, scale)), host(psi.prox(w, scale))
    size = trial.size(v, q)
    same = np.abs(p - q) <= trial.ulps * trial.blocks.spread(size)
    same |= trial.blocks.spread(ties(trial, Drawn(psi, v, scale), p, q)) & (not psi.convex)
    law(same, f"prox of {host(v)} is {p}, in numpy {q}")
    s, t = (host(psi.project_subdifferential(b.array(q), b.array(host(u)))) for b in (trial.backend, other))
    finite = np.where(np.isfinite(t), t, 0.0)
    with np.errstate(invalid="ignore"):
        near = np.abs(s - t) <= trial.ulps * trial.blocks.spread(trial.size(u, finite))
    law((s == t) | near, f"project_subdifferential at {q} of {host(u)} is {s}, in numpy {t}")
    with np.errstate(invalid="ignore"):  # an overflow says nothing
        value, known = float(psi.value(v)), float(psi.value(w))
    near = abs(value - known) <= trial.ulps * abs(known)
    law(near or value == known or math.isnan(known), f"value is {value}, in numpy {known}")


def numpys(backend: Backend) -> Backend:
    """numpy with the dtype of the back end."""
    return BACKENDS["numpy64" if backend.dtype == "float64" else "numpy32"]
