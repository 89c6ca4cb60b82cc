"""Statements of the paper that need a correction: each printed form with a counterexample, and the corrected form.

Statement. Nine corrections, numbered as in the findings. Where a printed form is false, a counterexample is run. Where
it is loose, incomplete or a matter of notation, the finding says so and shows what can be shown.

- 1. Appendix, Theorem 1: O(1 / epsilon) for convex psi is true but loose; the proof gives O(log(1 / epsilon)).
- 2. Algorithm 2: `prox_psi` must be `prox_(theta psi)`. One step size for each block is valid, and faster.
- 3. (10) lacks a square. (11): the modulus of Q_t / alpha_t is min d / alpha_t, not epsilon.
- 4. Algorithm 1 scales Q_t by 1 / alpha_t but passes epsilon_t on; stopped at T_2, (7) need not hold.
- 5. (16) must accumulate g * g. (17), (18): what tends to 0 is a difference. (29): the cube root is that of E g * g.
- 6. alpha_t tends to infinity by (13), not by (14). End of the proof of Theorem 2: subdifferentials of psi, not values.
- 7. (31) must be strict. Algorithm 3: the step is eta_t / ||P_t||; it computes W_t, not W_(t+1) (an index only).
- 8. (8), right as printed, excludes constant epsilon_t. Theorem 3 is about What_t, the output is W_T.
- 9. ProxSSI as published differs from ProxGen in more than the solver.

Assumptions, and how the experiments meet them: subproblems are strongly convex, with drawn metrics or one of
`CubeRoot`; psi is a group lasso or an l1 norm, so convex; problems are least squares with a planted solution. Sequences
are those of the parts `DualAveraging`, `CubeRoot`, `AdamRoot` and of the weightings.

Measured: for each item the two sides of the printed and of the corrected statement.

Rule: exact inequalities up to stated rounding, without statistics; only in 5 (29) the mean of 4000 stochastic gradients
stands for an expectation, and 5 % is allowed. Controls that must fail: the printed forms, each refuted by one
counterexample, or shown to be as loose or incomplete as the finding says.
"""

from __future__ import annotations

from . import errata_sequences, errata_subproblems
from .findings import Outcome
from .settings import Settings


def check(settings: Settings) -> Outcome:
    """The nine corrections. They are the same in all settings."""
    yield from errata_subproblems.findings()
    yield from errata_sequences.findings()
