"""The laws of regularizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from hypothesis import strategies as st

from optkit.core import Regularizer

from . import array_laws, block_laws, fact_laws, prox_laws, structure_laws, subdifferential_laws
from .backends import BACKENDS, Backend
from .blocks import Blocks
from .running import Law, LawBroken, chosen, hold
from .trial import Make, NaiveProx, Trial

_LAWS: tuple[Law[Trial], ...] = (
    array_laws.the_shape_is_accepted,
    array_laws.arrays_keep_their_kind,
    array_laws.inputs_are_untouched,
    block_laws.blocks_are_a_partition,
    block_laws.block_max_is_the_least_majorant,
    block_laws.value_is_the_sum,
    block_laws.value_is_additive_over_blocks,
    prox_laws.scale_0_is_the_identity,
    prox_laws.strength_0_is_the_identity,
    prox_laws.prox_of_0_is_finite,
    prox_laws.nan_stays_nan,
    prox_laws.prox_acts_on_blocks,
    prox_laws.prox_agrees_with_the_naive_one,
    prox_laws.prox_is_moreaus,
    prox_laws.prox_is_stationary,
    prox_laws.prox_minimises,
    prox_laws.prox_jumps_where_costs_are_equal,
    prox_laws.zeros_are_exact,
    prox_laws.any_metric_means_any_metric,
    fact_laws.separable_means_by_entry,
    fact_laws.homogeneous_means_homogeneous,
    fact_laws.convex_up_to_weak_convexity,
    subdifferential_laws.strength_0_has_the_subgradient_0,
    subdifferential_laws.no_subgradients_outside_the_domain,
    subdifferential_laws.subgradients_at_tiny_numbers_are_numbers,
    subdifferential_laws.subgradients_bound_from_below,
    subdifferential_laws.the_projection_is_the_nearest_subgradient,
    structure_laws.lambda_max_is_the_least_strength,
    structure_laws.margin_is_the_distance_to_a_change,
    structure_laws.manifolds_are_values,
    structure_laws.distances_are_distances,
    array_laws.back_ends_agree,
)
REGULARIZER_LAWS: dict[str, Law[Trial]] = {law.__name__: law for law in _LAWS}
"""The laws of regularizers by name; the first line of a law's docstring is its formula."""


def check_regularizer(
    psi: Regularizer | Make,
    shape: tuple[int, ...],
    *,
    laws: Iterable[str] | None = None,
    backends: Iterable[str] | None = None,
    examples: int = 10,
    naive_prox: NaiveProx | None = None,
    rounding: float = 16.0,
    unit: float = 0.0,
) -> None:
    """Raise LawBroken where psi breaks a law of regularizers.

        def test_my_penalty():
            check_regularizer(lambda strength: MyPenalty(strength), (3, 4))

    psi: a regularizer, or better what makes one of a strength >= 0;  shape: of the arrays, one that psi fits.
    laws: names from REGULARIZER_LAWS;  backends: names from BACKENDS; all for None;  examples: of each law on each back
    end;  naive_prox: a second prox(psi, values of one block, scale) in plain Python;  rounding: errors of so many units
    in the last place of the largest number of a block are allowed;  unit: >= 0, the size of psi's own numbers that w is
    compared with, such as levels or bounds, with whose rounding error tiny entries may come out.
    """
    make: Make = _constant(psi) if isinstance(psi, Regularizer) else psi
    try:
        make(1.0).check(shape)
    except ValueError as error:  # no other law can be tried there
        where = f"on {next(iter(backends or BACKENDS))}: {error}"
        raise LawBroken(f"{make(1.0)!r} on {shape} breaks the_shape_is_accepted {where}") from error
    blocks = Blocks.of(make(1.0), shape)

    def trial(backend: Backend, data: st.DataObject) -> Trial:
        return Trial(make, shape, blocks, backend, data, naive_prox, rounding, unit)

    hold(f"{make(1.0)!r} on {shape}", chosen(REGULARIZER_LAWS, laws), trial, (backends, examples))


def _constant(psi: Regularizer) -> Callable[[float], Regularizer]:
    return partial(_the_same, psi)


def _the_same(psi: Regularizer, strength: float) -> Regularizer:
    return psi
