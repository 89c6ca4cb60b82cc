"""Walks of the Triton kernels, collected by test_kernels_triton.py in a process of their own.

With TRITON_INTERPRET=1, which must be set before triton is first imported, they run on tensors in main memory: slowly,
so few and short ones. On a GPU they are compiled, and there are many.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from optkit.algorithms import AdamRoot, CubeRoot, ProximalMethod, ramda
from optkit.kernels import LIMIT, Task
from optkit.kernels.cuda import DeviceClock, Triton, sizes
from optkit.kernels.cuda.kernel import interpreted
from optkit.kernels.cuda.tables import form
from optkit.regularizers import L1, GroupLasso

from .kernel_cases import SHARP
from .kernel_trial import CASES, PLACES, Case, Place, walk, walk_together

INTERPRETED = interpreted()
DEVICE = "cpu" if INTERPRETED else "cuda"
STEPS = 12 if INTERPRETED else 50
DTYPES = [torch.float32, torch.float64]
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter's numpy, for denormal numbers
needs_gpu = pytest.mark.skipif(INTERPRETED, reason="it is about launches on a GPU")


def refused(case: Case) -> frozenset[str]:
    """The one declared refusal: whether GroupMCP is convex in a metric of entries depends on numbers on the device."""
    method, _ = case.build(torch.float64)
    adaptive = isinstance(method.preconditioner, (AdamRoot, CubeRoot))
    return frozenset([case.name] if case.psi == "GroupMCP" and adaptive else [])


def tried(case: Case, dtype: torch.dtype, steps: int = STEPS) -> None:
    walk(Triton(), case, dtype, DEVICE, steps, refused(case))


def some(every: int, grouped: bool) -> list[Any]:
    """A part of all cases; the dtypes take turns."""
    cases = [case for case in CASES if ("Group" in case.psi) == grouped]
    every = every if INTERPRETED else 1
    return [pytest.param(case, DTYPES[i % 2], id=case.name) for i, case in enumerate(cases[::every])]


@pytest.mark.parametrize(("case", "dtype"), some(9, grouped=False))
def test_entries(case: Case, dtype: torch.dtype) -> None:
    tried(case, dtype)


@pytest.mark.parametrize(("case", "dtype"), some(11, grouped=True))
def test_groups_on_the_chip(case: Case, dtype: torch.dtype) -> None:
    tried(case, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hard_thresholds_on_the_chip(dtype: torch.dtype) -> None:
    tried(Case("rmda", SHARP, PLACES["linear by input"], "linear by input"), dtype, 20)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Tiles of a few entries, so that small arrays take several, and groups pass by in chunks."""
    for name, value in {"ON_CHIP": 4, "STREAM": 8, "SEGMENT": 1, "ENTRIES": 8, "LARGEST": 8}.items():
        monkeypatch.setattr(sizes, name, value)
    form.cache_clear()
    yield
    form.cache_clear()


STREAMS = [
    ("ramda", "GroupLasso", "linear by input"),
    ("ramda averaged", "SparseGroupLasso", "conv by input"),
    ("rmda", "GroupMCP", "linear by output"),
    ("rmda", SHARP, "vector"),
    ("rmda averaged", "GroupLasso", "batches"),
    ("proxgen decay", "GroupLasso", "everything"),
    ("proxgen amsgrad", "SparseGroupLasso", "vector"),
    ("ramda", "L1", "conv by output"),
]


@pytest.mark.parametrize(("method", "psi", "where"), STREAMS)
def test_groups_in_chunks(method: str, psi: str, where: str, small_tiles: None) -> None:
    for i, dtype in enumerate(DTYPES[: 1 if INTERPRETED and where != "everything" else 2]):
        tried(Case(method, psi, PLACES[where], where, ("", "huge")[i]), dtype, 8 if INTERPRETED else 50)


LARGE = [
    Case("ramda", "GroupLasso", Place((16384 + 5, 3), (0,)), "long columns"),
    Case("ramda", "SparseGroupLasso", Place((2, 8192), (1,)), "long rows"),
    Case("proxgen", "GroupLasso", Place((300, 4, 3, 3), (0, 2, 3)), "filters"),
    Case("rmda", "GroupLasso", Place((20, 32, 16), (1,)), "aligned"),
]


@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.name)
def test_groups_of_real_size(case: Case) -> None:
    tried(case, torch.float32, 3 if INTERPRETED else 50)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("psi", ["L1", "GroupLasso"])
def test_half_precision_has_a_state_of_float32(psi: str, dtype: torch.dtype) -> None:
    tried(Case("ramda", psi, PLACES["linear by input"], "half"), dtype)


def test_one_call_takes_the_steps_of_all_kinds_of_parameters() -> None:
    """Different methods, penalties and layouts at once."""
    places = ["conv by input", "linear by output", "no rows", "vector", "conv by output, channels last"]
    kinds = [
        ("ramda", "GroupLasso"),
        ("proxgen", "L1"),
        ("rmda", "SparseGroupLasso"),
        ("proxsgd", "Zero"),
        ("rda", "MCP"),
    ]
    several = [Case(*kind, PLACES[where], where) for kind, where in zip(kinds, places, strict=True)]
    walk_together(Triton(), several, torch.float32, DEVICE, STEPS)


def test_arrays_that_lie_otherwise_than_the_weight() -> None:
    method = ramda(GroupLasso(0.1, axes=0), 0.1, averaging=1.0)
    generator = torch.Generator().manual_seed(0)
    w, grad = (torch.randn(6, 5, generator=generator).to(DEVICE) for _ in range(2))
    state = method.init(w)
    expected = method.step(w, grad, state)
    turned = state.preconditioner._replace(sum=state.preconditioner.sum.t().contiguous().t())
    task = Task(method, w.clone(), grad.t().contiguous().t(), state._replace(preconditioner=turned))
    (taken,) = Triton().step([task])
    torch.testing.assert_close(task.w, expected.w)
    assert taken.state.preconditioner.sum is turned.sum
    torch.testing.assert_close(turned.sum, expected.state.preconditioner.sum)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cube_root_is_accurate_to_the_last_places(dtype: torch.dtype) -> None:
    """Seen through the metric: w = -V / cbrt(U) at the first step from 0, with a tiny epsilon."""
    grad = (10.0 ** torch.linspace(-20, 10, 4000, dtype=torch.float64)).to(dtype).to(DEVICE)
    method = replace(ramda(lr=1.0, averaging=1.0), preconditioner=CubeRoot(1e-30))
    w = torch.zeros_like(grad)
    state = method.init(w)
    Triton().step([Task(method, w, grad, state)])
    square = state.preconditioner.sum.double().cpu()
    expected = -grad.double().cpu().numpy() / np.cbrt(square.numpy())
    normal = square.numpy() > torch.finfo(dtype).tiny
    assert (np.abs(w.double().cpu().numpy() / expected - 1)[normal] < 5 * torch.finfo(dtype).eps).all()


def clocked(psi: Any = None) -> tuple[ProximalMethod, list[Task], DeviceClock]:
    method = ramda(psi or GroupLasso(0.05, axes=0), 0.1, averaging=0.5)
    generator = torch.Generator().manual_seed(1)
    ws = [torch.randn(shape, generator=generator).to(DEVICE) for shape in ((6, 5), (3, 4))]
    tasks = [Task(method, w, torch.zeros_like(w), method.init(w)) for w in ws]
    return method, tasks, DeviceClock([method], DEVICE)


def test_steps_on_the_clock_are_those_of_the_host() -> None:
    method, tasks, clock = clocked()
    mirror = [(task.w.clone(), method.init(task.w)) for task in tasks]
    kernel, generator = Triton(), torch.Generator().manual_seed(2)
    for step in range(6):
        go = step != 3
        for task in tasks:
            task.grad.copy_(torch.randn(task.w.shape, generator=generator))
        clock.prepare()
        ok = (kernel.largest(tasks) < clock.bounds(torch.float32)[[0, 0]]).all() & go
        taken = kernel.step_on(clock, tasks, [0, 0], ok)
        if go:
            steps = [method.step(w, task.grad, state) for (w, state), task in zip(mirror, tasks, strict=True)]
            mirror = [(step.w, step.state) for step in steps]
        for task, (w, state), result in zip(tasks, mirror, taken, strict=True):
            torch.testing.assert_close(task.w, w, rtol=1e-5, atol=1e-6)
            assert float(result.state.t) == state.t
            assert float(result.state.estimator.weight) == pytest.approx(state.estimator.weight, rel=1e-14)


@needs_gpu
def test_a_graph_replays_steps() -> None:
    method, tasks, clock = clocked()
    _, others, other = clocked()
    kernel = Triton()

    def one(clock: DeviceClock, tasks: list[Task]) -> None:
        clock.prepare()
        ok = (kernel.largest(tasks) < clock.bounds(torch.float32)[0]).all()
        kernel.step_on(clock, tasks, [0, 0], ok)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        one(clock, tasks)  # compiles, and puts the tables on the device
    torch.cuda.current_stream().wait_stream(side)
    one(other, others)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        one(clock, tasks)
    for step in range(5):
        for task, twin in zip(tasks, others, strict=True):
            twin.grad.copy_(task.grad.fill_(0.1 * (step + 1)))
        graph.replay()
        one(other, others)
        for task, twin in zip(tasks, others, strict=True):
            assert torch.equal(task.w, twin.w)
    assert clock.t.item() == 6


@needs_gpu
@pytest.mark.parametrize("psi", [L1(0.1), GroupLasso(0.1, axes=0)], ids=lambda psi: type(psi).__name__)
def test_nothing_waits_for_the_device(psi: Any) -> None:
    method, tasks, _ = clocked(psi)
    kernel, steps = Triton(), tasks
    for warm in (False, True):
        if warm:
            torch.cuda.set_sync_debug_mode("error")
        try:
            ok = (kernel.largest(steps) < LIMIT[torch.float32]).all()
            taken = kernel.step(steps, ok)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        steps = [task._replace(state=one.state, theta=one.theta) for task, one in zip(steps, taken, strict=True)]


@needs_gpu
def test_many_small_tensors_are_a_handful_of_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.profiler import ProfilerActivity, profile

    method, _, _ = clocked()
    ws = [torch.randn(6, 5, device=DEVICE) for _ in range(300)]
    tasks = [Task(method, w, torch.ones_like(w), method.init(w)) for w in ws]
    kernel = Triton()
    kernel.step(tasks)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        kernel.step(tasks)
    assert len([event for event in seen.events() or [] if "mem" not in event.name.lower()]) < 12


@needs_gpu
def test_runs_repeat_bit_by_bit() -> None:
    ends = []
    for _ in range(2):
        method, tasks, _ = clocked()
        for _ in range(5):
            Triton().step(tasks)
        ends.append(np.concatenate([task.w.cpu().numpy().ravel() for task in tasks]))
    assert (ends[0] == ends[1]).all()
