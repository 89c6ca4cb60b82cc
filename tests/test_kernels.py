"""The fused kernels: equal to the reference, chosen by name, exchanged in the middle of a run, absent without harm."""

from __future__ import annotations

import copy
import io
import logging
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optkit import kernels
from optkit.algorithms import proxgen
from optkit.core import ConvergenceWarning
from optkit.kernels import KERNELS, Kernel, Task, choose
from optkit.kernels.cpu import Numba, jobs
from optkit.kernels.cpu.fleet import Fleet
from optkit.kernels.cpu.functions import cube_root
from optkit.kernels.layout import dense, layout
from optkit.kernels.plan import ESTIMATORS, GROUPED, METRICS, objection, plan
from optkit.regularizers import L1, GroupLasso, GroupMCP, NuclearNorm, SparseGroupLasso
from optkit.solvers import FixedIterations, SecularNewton
from optkit.torch import RAMDA, RMDA, MethodOptimizer, ProxGen, ProxSGD, ProxSSI, regularize
from optkit.torch.state import unpack

from .kernel_trial import CASES, walk, walk_together

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
OPTIMIZERS: dict[str, Callable[..., MethodOptimizer]] = {
    "RAMDA": RAMDA,
    "RMDA": RMDA,
    "ProxGen": ProxGen,
    "ProxSSI": ProxSSI,
    "ProxSGD": ProxSGD,
}
EACH = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


# --- against the reference --------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_numba_walks_as_the_reference(case: Any, dtype: torch.dtype) -> None:
    walk(Numba(), case, dtype)


@DTYPES
def test_many_tensors_of_many_kinds_walk_together(dtype: torch.dtype) -> None:
    walk_together(Numba(), CASES[::7], dtype, steps=12)


def big(
    psi: Any, shape: tuple[int, ...], dtype: torch.dtype, method: Callable[..., Any], rising: int = 1, **options: Any
) -> None:
    """Three steps of tensors that are cut into several jobs: panels, stretches, blocks of rows; the gradients rise
    along one axis."""
    random = np.random.default_rng(0)
    loud = np.linspace(0, 2, shape[rising]).reshape(-1, *[1] * (len(shape) - rising - 1))
    w = torch.from_numpy(random.standard_normal(shape)).to(dtype)
    grad = torch.from_numpy(loud * random.standard_normal(shape)).to(dtype)
    parameters = [nn.Parameter(w.clone()) for _ in range(2)]
    fused, reference = (
        method([{"params": [p], "regularizer": psi}], kernel=kernel, **options)
        for p, kernel in zip(parameters, ("numba", "reference"), strict=True)
    )
    for step in range(3):
        for p, optimizer in zip(parameters, (fused, reference), strict=True):
            p.grad = grad.flip(0) if step == 1 else grad.clone()
            optimizer.step()
        tolerance = 1e-10 if dtype == torch.float64 else 2e-4
        torch.testing.assert_close(*parameters, rtol=tolerance, atol=tolerance)
    assert fused.certificate().residual == pytest.approx(reference.certificate().residual, abs=1e-2)
    found, expected = fused.structure(), reference.structure()
    assert found.sparsity == expected.sparsity and 0 < (found.sparsity or 0) < 1


@DTYPES
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_tensors_of_several_jobs(dtype: torch.dtype, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        big(GroupLasso(0.9, axes=0), (150, 2000), dtype, RAMDA, lr=0.1, averaging=1.0)
        big(GroupLasso(0.05, axes=(0, 2, 3)), (70, 300, 3, 3), dtype, ProxGen, lr=0.1)
        big(GroupLasso(2.0, axes=1), (2000, 40), dtype, RMDA, lr=0.3, averaging=1.0)
        big(GroupLasso(2.5, axes=1), (12, 9000), dtype, RAMDA, rising=0, lr=0.1, averaging=1.0)
        big(L1(0.9), (300, 300), dtype, ProxSGD)
    finally:
        torch.set_num_threads(before)


@DTYPES
def test_panels_in_pieces_of_a_few_rows(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walks of every method with groups in columns, whose panels three threads share."""
    several = [case for case in CASES if case.where == "linear by input" and "Group" in case.psi]
    before = torch.get_num_threads()
    monkeypatch.setattr(jobs, "THIN", 2)
    jobs.cut.cache_clear()
    torch.set_num_threads(3)
    try:
        assert jobs.cut((jobs.Geometry((6, 5), (5, 1), (0,)),), 3).rows[0, 9] == 3
        for case in several:
            walk(Numba(), case, dtype, steps=12)
    finally:
        torch.set_num_threads(before)
        jobs.cut.cache_clear()


def test_whoever_comes_first_the_sums_are_the_same() -> None:
    """The pieces of a panel are added up in the order of its rows."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = []
        for _ in range(10):
            torch.manual_seed(0)
            p = nn.Parameter(torch.randn(700, 90))
            optimizer = RAMDA([{"params": [p], "regularizer": GroupLasso(0.3, axes=0)}], lr=0.1, kernel="numba")
            for _ in range(4):
                p.grad = torch.randn_like(p)
                optimizer.step()
            found.append(p)
        assert all(torch.equal(p, found[0]) for p in found)
    finally:
        torch.set_num_threads(before)


@EACH
@pytest.mark.parametrize("axes", [0, 1])
@pytest.mark.filterwarnings("ignore::optkit.core.ConvergenceWarning")
def test_concave_subproblems_are_left_to_the_reference(make: Callable[..., MethodOptimizer], axes: int) -> None:
    """Those of GroupMCP where the metric is small, beside convex ones, and without any. Where a method's solver refuses
    them, nothing has changed."""
    for scales in ((1e-3,), (1.0, 1e-3)):
        found = []
        for kernel in ("numba", "reference"):
            torch.manual_seed(0)
            parameters = [nn.Parameter(torch.randn(6, 6)) for _ in scales]
            before = copy.deepcopy(parameters)
            optimizer = make([{"params": parameters, "regularizer": GroupMCP(1e-3, axes=axes)}], kernel=kernel)
            for p, scale in zip(parameters, scales, strict=True):
                p.grad = scale * torch.randn_like(p)
            try:
                optimizer.step()
            except ValueError as error:
                assert "convex" in str(error)
                assert all(map(torch.equal, parameters, before)) and not optimizer.state
            found.append(parameters)
        for mine, theirs in zip(*found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


# --- parts of the kernel ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "cube", "low", "high", "tolerance"),
    [
        ("f4", True, 1e-37, 3e38, 4e-7),
        ("f4", 2, 1e-45, 3e38, 4e-7),
        ("f8", True, 1e-290, 5e307, 3e-16),
        ("f8", True, 3e-308, 1e-290, 2e-7),
        ("f8", 2, 1e-320, 1e308, 1e-15),
    ],
)
def test_the_cube_root_is_good_to_rounding(dtype: str, cube: int, low: float, high: float, tolerance: float) -> None:
    """And 0 at 0; denormals, where they are asked for."""
    numba = pytest.importorskip("numba")
    root: Any = cube_root

    @numba.njit(error_model="numpy")
    def roots(a: Any, cube: Any) -> Any:
        found = np.empty_like(a)
        for i in range(a.size):
            found[i] = root(a[i], cube)
        return found

    x = np.unique(np.concatenate(([0.0], np.geomspace(low, high, 200_001))).astype(dtype))
    found, exact = roots(x, cube), np.cbrt(x.astype(np.float64))
    assert found[0] == 0
    assert np.max(np.abs(found[1:] / exact[1:] - 1)) < tolerance


def test_layouts_hold_each_group_once() -> None:
    """By brute force: the entries of a group are those that the loops of the layout visit."""
    places = [((6, 5), (0,)), ((6, 5), (1,)), ((4, 3, 2, 2), (0, 2, 3)), ((4, 3, 2, 2), (1, 2, 3)), ((2, 3, 4), (1,))]
    for shape, axes in places:
        for order in ((0, 1), (1, 0)) if len(shape) == 2 else ((0, 1, 2, 3), (0, 2, 3, 1))[: 1 + (len(shape) == 4)]:
            order = order[: len(shape)]
            t = torch.arange(np.prod(shape)).reshape([shape[a] for a in order]).permute(*np.argsort(order).tolist())
            known = layout(tuple(t.shape), t.stride(), axes)
            assert dense(t.shape, t.stride()) and known is not None
            memory = t.as_strided((t.numel(),), (1,)).reshape(known)
            mine = {frozenset(memory[b, :, g].flatten().tolist()) for b in range(known[0]) for g in range(known[2])}
            rest = [a for a in range(len(shape)) if a not in axes]
            groups = t.permute(*rest, *axes).reshape(int(np.prod([shape[a] for a in rest])), -1)
            assert mine == {frozenset(row.tolist()) for row in groups}
    gaps = torch.zeros(4, 6)[:, ::2]
    assert not dense(gaps.shape, gaps.stride())


# --- choosing ---------------------------------------------------------------------------------------------------------


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5))


def train(model: nn.Module, optimizer: MethodOptimizer, steps: int, first: int = 0) -> None:
    for k in range(first, first + steps):
        generator = torch.Generator().manual_seed(k)
        optimizer.zero_grad()
        x, y = torch.randn(8, 2, 4, 4, generator=generator), torch.randint(5, (8,), generator=generator)
        nn.functional.cross_entropy(model(x.to(next(model.parameters()).dtype)), y).backward()
        optimizer.step()


@EACH
def test_kernels_are_exchanged_in_the_middle_of_a_run(make: Callable[..., MethodOptimizer]) -> None:
    """numba, reference, numba, with a restart and a checkpoint in between, walks as the reference alone."""
    one, two = network().double(), network().double()
    changing = make(regularize(one, GroupLasso(0.01)), lr=0.05)
    steady = make(regularize(two, GroupLasso(0.01)), lr=0.05, kernel="reference")
    assert changing.kernel == "auto"
    for k, kernel in enumerate(("numba", "reference", "auto", "numba")):
        changing.kernel = kernel
        for model, optimizer in ((one, changing), (two, steady)):
            train(model, optimizer, 5, first=5 * k)
            if k == 1:
                optimizer.restart()
        if k == 2:
            buffer = io.BytesIO()
            torch.save(changing.state_dict(), buffer)
            buffer.seek(0)
            changing = make(regularize(one, GroupLasso(0.01)), lr=0.05)
            changing.load_state_dict(torch.load(buffer))
        for p, q in zip(one.parameters(), two.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)
    assert set(changing.state_dict()["state"][0]) - set(steady.state_dict()["state"][0]) == {"theta"}


@EACH
def test_a_checkpoint_of_one_kernel_is_read_by_another(make: Callable[..., MethodOptimizer]) -> None:
    model = network()
    optimizer = make(regularize(model, GroupLasso(0.01)))
    train(model, optimizer, 3)
    data = copy.deepcopy(optimizer.state_dict())
    other = make(regularize(model, GroupLasso(0.01)), kernel="reference")
    other.load_state_dict(data)
    train(model, other, 1)
    optimizer.load_state_dict(other.state_dict())
    train(model, optimizer, 1)


def state_bytes(optimizer: MethodOptimizer) -> int:
    tensors = [v for entry in optimizer.state.values() for v in entry.values() if isinstance(v, torch.Tensor)]
    return sum(t.numel() * t.element_size() for t in {t.data_ptr(): t for t in tensors}.values())


@EACH
def test_the_state_is_three_arrays_a_parameter_and_a_number_a_group_at_most(make: Callable[..., Any]) -> None:
    model = network()
    optimizer = make(regularize(model, GroupLasso(0.01)))
    train(model, optimizer, 2)
    entries, groups = sum(p.numel() for p in model.parameters()), 2 + 24
    arrays = {"RAMDA": 3, "RMDA": 2, "ProxGen": 2, "ProxSSI": 2, "ProxSGD": 1}[type(optimizer).__name__]
    assert state_bytes(optimizer) <= 4 * (arrays * entries + groups)


@pytest.mark.parametrize("layout_of", ["channels_last", "grad contiguous", "state contiguous"])
def test_other_layouts_of_gradients_and_state(layout_of: str) -> None:
    """A gradient, or a state from a checkpoint, that does not lie in memory as its parameter does."""
    one, two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    two.load_state_dict(one.state_dict())
    if layout_of != "state contiguous":
        one = one.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = [RAMDA(regularize(m, GroupLasso(1e-2)), kernel=k) for m, k in ((one, "numba"), (two, "reference"))]
    for k in range(6):
        if k == 3 and layout_of == "state contiguous":
            one.weight.data = one.weight.data.to(memory_format=torch.channels_last)
        for m, optimizer in zip((one, two), optimizers, strict=True):
            for p in m.parameters():
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(k))
                if layout_of == "channels_last":
                    p.grad = torch.empty_like(p).copy_(p.grad)
            optimizer.step()
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_weights_that_move_are_found(dtype: torch.dtype = torch.float64) -> None:
    """`p.data = ...` puts another tensor into a parameter between two steps."""
    one, two = network().to(dtype), network().to(dtype)
    optimizers = [RAMDA(regularize(m, GroupLasso(1e-2)), kernel=k) for m, k in ((one, "numba"), (two, "reference"))]
    for k in range(4):
        for m, optimizer in zip((one, two), optimizers, strict=True):
            for p in m.parameters():
                p.data = p.data.clone()
            train(m, optimizer, 1, first=k)
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.02},
        {"regularizer": L1(0.02)},
        {"regularizer": NuclearNorm(0.01)},
        {"stopping": FixedIterations(3)},
        {"weight_decay": 0.1},
        {"amsgrad": True},
        {"maximize": True},
    ],
    ids=lambda change: next(iter(change)) + type(next(iter(change.values()))).__name__,
)
def test_groups_may_change_between_two_steps(change: dict[str, Any]) -> None:
    """Whatever is written into a group, the steps go on as those of the reference."""
    one, two = (nn.Linear(5, 4).double() for _ in range(2))
    two.load_state_dict(one.state_dict())
    for model, kernel in ((one, "auto"), (two, "reference")):
        groups = [{"params": [model.weight], "regularizer": GroupLasso(0.01, axes=0)}, {"params": [model.bias]}]
        optimizer = ProxGen(groups, lr=0.01, kernel=kernel)
        for k in range(6):
            if k == 3:
                optimizer.param_groups[0].update(optimizer.recipe.plain(change))
            for p in model.parameters():
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(k), dtype=p.dtype)
            optimizer.step()
    for p, q in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_gradients_too_large_for_the_kernel_are_left_to_the_reference() -> None:
    """1e20 squared is within float32 for one step: no error, and the same as the reference."""
    one, two = (nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    for p, kernel in ((one, "numba"), (two, "reference")):
        optimizer = ProxSGD([{"params": [p], "regularizer": GroupLasso(1.0, axes=0)}], kernel=kernel)
        for size in (1.0, 1e35, 1.0):
            p.grad = torch.full((3, 2), size)
            optimizer.step()
    torch.testing.assert_close(one, two)


def test_objections_are_said_in_words() -> None:
    w = torch.ones(4, 3)
    method = RAMDA([{"params": [nn.Parameter(w)], "regularizer": GroupLasso(1.0, axes=0)}])
    usual = method.method(method.param_groups[0])
    assert objection(usual) is None and choose("auto", usual, w) is KERNELS["numba"]
    for psi, solver, stopping, words in (
        (NuclearNorm(1.0), None, None, "knows no NuclearNorm"),
        (GroupLasso(1.0, axes=0), SecularNewton(max_iterations=1), None, "does not imitate SecularNewton"),
        (GroupLasso(1.0, axes=0), None, FixedIterations(3), "takes no stopping rule"),
    ):
        group = {"params": [nn.Parameter(w)], "regularizer": psi, "solver": solver, "stopping": stopping}
        optimizer = RAMDA([group])
        other = optimizer.method(optimizer.param_groups[0])
        assert words in (objection(other) or "")
        assert choose("auto", other, w) is None
        with pytest.raises(ValueError, match="kernel='numba' cannot take the steps"):
            choose("numba", other, w)
    gaps = torch.ones(4, 6)[:, ::2]
    assert "without gaps" in (Numba().objection(usual, gaps) or "")
    assert "bfloat16" in (Numba().objection(usual, w.bfloat16()) or "")
    assert all(isinstance(part, type) for part in (*ESTIMATORS, *METRICS, *GROUPED))


@pytest.mark.parametrize("name", ["fast", "", None, 3])
def test_an_unknown_kernel_is_refused(name: Any) -> None:
    with pytest.raises(ValueError, match="kernel must be one of 'auto', 'reference', 'numba'"):
        RAMDA([nn.Parameter(torch.ones(2))], kernel=name)
    optimizer = RAMDA([nn.Parameter(torch.ones(2))])
    with pytest.raises(ValueError, match="kernel must be one of"):
        optimizer.kernel = name
    assert optimizer.kernel == "auto"


class Absent(Numba):
    """A kernel whose package is not there."""

    def missing(self) -> str | None:
        return "it needs numba, which is not installed; pip install numba"


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(KERNELS, "numba", Absent())
    kernels.choosing._fallen_back.cache_clear()
    yield
    kernels.choosing._fallen_back.cache_clear()


def test_without_numba_the_reference_takes_the_steps_and_it_is_said_once(
    absent: None, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = network(), network()
    optimizers = RAMDA(regularize(one, GroupLasso(1e-2))), RAMDA(regularize(two, GroupLasso(1e-2)), kernel="reference")
    with caplog.at_level(logging.WARNING, logger="optkit.kernels"):
        for model, optimizer in zip((one, two), optimizers, strict=True):
            train(model, optimizer, 3)
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert [record.message for record in caplog.records if "numba" in record.message] == [
        "no fused kernel takes these steps, which run part by part and slower (numba: it needs numba, which is not "
        "installed; pip install numba)"
    ]
    with pytest.raises(ValueError, match="kernel='numba' cannot run here: it needs numba"):
        RAMDA(regularize(one, L1(1e-3)), kernel="numba")


def test_numba_is_imported_by_the_first_step_and_may_be_missing() -> None:
    code = """
import sys
sys.modules["numba"] = None
import torch
from optkit.torch import RAMDA
from optkit.regularizers import L1
p = torch.nn.Parameter(torch.ones(3))
optimizer = RAMDA([{"params": [p], "regularizer": L1(0.1)}])
for _ in range(2):
    p.grad = torch.ones(3)
    optimizer.step()
print(p.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("numba") >= 1 and done.stderr.count("\n") == 1, done.stderr
    lazy = "import sys, optkit.torch; print({'numba', 'triton'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", lazy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_kernel_waits_for_no_other_thread_pool_after_a_fork() -> None:
    """A child process has none of the parent's threads."""
    code = """
import os, torch
from optkit.torch import RAMDA
from optkit.regularizers import GroupLasso
torch.set_num_threads(2)
p = torch.nn.Parameter(torch.ones(600, 600))
optimizer = RAMDA([{"params": [p], "regularizer": GroupLasso(0.1, axes=0)}])
p.grad = torch.ones(600, 600)
optimizer.step()
child = os.fork()
if child == 0:
    optimizer.step()
    os._exit(0)
_, status = os.waitpid(child, 0)
print(status)
"""
    options: Any = dict(capture_output=True, text=True, timeout=120)
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, **options).stdout.strip() == "0"


def test_a_new_kernel_joins_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of one's own: here numba's, that counts its calls."""

    class Counting(Numba):
        name = "counting"
        calls = 0

        def fleet(self, tasks: Any, labels: Any) -> None:
            return None

        def step(self, tasks: Any, ok: Any = None) -> Any:
            self.calls += 1
            return super().step(tasks, ok)

    mine = Counting()
    monkeypatch.setitem(KERNELS, "counting", mine)
    model = network()
    train(model, RAMDA(regularize(model, SparseGroupLasso(1e-3)), kernel="counting"), 2)
    assert mine.calls == 2 and isinstance(mine, Kernel)


@pytest.mark.parametrize("to", [torch.float64, torch.float32, torch.bfloat16])
def test_a_parameter_may_change_its_dtype_between_steps(to: torch.dtype) -> None:
    """What is remembered of the last step would read it as numbers of the other dtype. The truth: no kernel.

    Gradients of 0.5, which are small numbers in every dtype's reading of their bits: others would look too large.
    """
    before = torch.float64 if to == torch.float32 else torch.float32
    found = []
    for kernel in ("auto", "reference"):
        layer = nn.Linear(64, 64).to(before)
        nn.init.constant_(layer.weight, 0.25)
        optimizer = RAMDA([{"params": [layer.weight], "regularizer": GroupLasso(1e-3, axes=0)}], lr=0.1, kernel=kernel)
        for step in range(4):
            if step == 2:
                layer.to(to)
            layer.weight.grad = torch.full_like(layer.weight, 0.5)
            optimizer.step()
        found.append(layer.weight.detach().double())
    mine, theirs = found
    assert theirs.max() < 0.24 and torch.allclose(mine, theirs, rtol=0, atol=1e-2 if to == torch.bfloat16 else 1e-6)


EMPTY: dict[str, tuple[tuple[int, ...], Any]] = {
    "free": ((0,), None),
    "entries": ((0,), L1(0.1)),
    "one group": ((0,), GroupLasso(0.1, axes=0)),
    "groups without entries": ((0, 5), GroupLasso(0.1, axes=0)),
    "no groups": ((5, 0), GroupLasso(0.1, axes=0)),
    "no groups of entries": ((2, 0, 3), SparseGroupLasso(0.1, axes=(0, 2))),
}


@pytest.mark.parametrize(("shape", "psi"), EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("make", [RAMDA, ProxSGD])
def test_parameters_without_entries_do_not_slow_the_others(
    make: Callable[..., Any], shape: tuple[int, ...], psi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first step all are like the last one, of which most is remembered."""
    calls: list[Any] = []
    step = Fleet.step
    monkeypatch.setattr(Fleet, "step", lambda *given: calls.append(step(*given)) or calls[-1])
    found = []
    for kernel in ("auto", "reference"):
        full, empty = nn.Parameter(torch.ones(6, 4)), nn.Parameter(torch.ones(shape))
        params = [{"params": [full], "regularizer": GroupLasso(0.1, axes=0)}, {"params": [empty], "regularizer": psi}]
        optimizer = make(params, lr=0.1, kernel=kernel)
        for k in range(4):
            full.grad, empty.grad = torch.full((6, 4), 0.5 + k), torch.ones(shape)
            optimizer.step()
        found.append(full.detach())
    assert len(calls) == 3 and all(calls)
    torch.testing.assert_close(*found)


def test_a_group_whose_target_becomes_exactly_zero_is_zero_at_once() -> None:
    """theta > 0 from the step before, and then no moment is left."""
    p = nn.Parameter(torch.ones(64, 64))
    optimizer = ProxGen([{"params": [p], "regularizer": GroupLasso(1e-3, axes=0)}])
    for _ in range(2):
        p.grad = torch.full_like(p, 0.1)
        optimizer.step()
    (task,) = [
        Task(optimizer.method(g), p.detach() * 0, torch.zeros_like(p), unpack(optimizer.state[p], optimizer.method(g)))
        for g in optimizer.param_groups
    ]
    for array in (*task.state.estimator, *task.state.preconditioner):
        if isinstance(array, torch.Tensor):
            array.zero_()
    theta = optimizer.state[p]["theta"]
    assert (theta > 0).all()
    (taken,) = Numba().step([task._replace(theta=theta)])
    assert bool(taken.converged) and taken.iterations <= 4 and not task.w.any()


@pytest.mark.parametrize("axes", [0, 1])
def test_moments_beyond_float32_are_taken_in_float64(axes: int) -> None:
    """Relative to a threshold of 1e-25 the target is too large for their squares; other passes would not help."""
    method = proxgen(GroupLasso(1e-25, axes=axes), lr=1e-2)
    w = torch.ones(64, 64)
    (taken,) = Numba().step([Task(method, w, torch.full_like(w, 0.1), method.init(w))])
    assert bool(taken.converged) and taken.iterations <= 12
    assert torch.allclose(w, torch.full_like(w, 0.99), rtol=1e-6)


def test_a_weight_that_is_no_number_is_no_solution() -> None:
    p = nn.Parameter(torch.ones(64, 64))
    with torch.no_grad():
        p[3, 5] = math.nan
    optimizer = ProxGen([{"params": [p], "regularizer": GroupLasso(1e-3, axes=0)}])
    p.grad = torch.full_like(p, 0.1)
    with pytest.warns(ConvergenceWarning):
        optimizer.step()
    assert optimizer.uncertified == 1


def test_a_plan_says_when_gradients_are_too_large() -> None:
    optimizer = RAMDA([nn.Parameter(torch.ones(2))])
    numbers = plan(optimizer.method(optimizer.param_groups[0]), 1, 0.0)
    assert not numbers.overflows(1e10, 1e30)
    assert numbers.overflows(1e20, 1e30) and numbers.overflows(float("nan"), 1e30)


def test_tasks_of_a_step_share_nothing_with_each_other() -> None:
    """amsgrad begins with two arrays of zeros, not with one twice: a kernel changes them in place."""
    p = nn.Parameter(torch.ones(2, 2))
    optimizer = ProxGen([p], amsgrad=True)
    method = optimizer.method(optimizer.param_groups[0])
    state = method.init(p.detach())
    task = Task(method, p.detach().clone(), torch.ones(2, 2), state)
    (taken,) = Numba().step([task])
    assert taken.state.preconditioner.mean.data_ptr() != taken.state.preconditioner.largest.data_ptr()
