"""The Triton kernels: in the interpreter, compiled for a GPU that is not there, and on one where there is one.

Triton decides on its first import whether it interprets, and other tests may import it: so every part runs in a process
of its own. What is tried there: triton_walks and triton_compiling.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from optkit.algorithms import (
    AdamRoot,
    ConstantAveraging,
    DecayingAverage,
    DecayingAveraging,
    PowerWeighting,
    ProximalMethod,
    SqrtWeighting,
    SquareRootRamp,
    proxgen,
    ramda,
    rmda,
)
from optkit.core import Averaging, Weighting
from optkit.kernels.cuda import DeviceClock, Triton
from optkit.kernels.cuda.clock import NUMBERS
from optkit.kernels.plan import LIMIT, plan
from optkit.regularizers import GroupMCP, Zero

from . import kernel_cases

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def collect(file: str, expression: str, cache: Path, interpret: bool) -> None:
    """Run the tests of a module that match the expression in a new process."""
    given = {key: value for key, value in os.environ.items() if not key.startswith(("TRITON_INTERPRET", "PYTEST_"))}
    given |= {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    given |= {"TRITON_INTERPRET": "1"} if interpret else {}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / file), "-k", expression]
    ended = subprocess.run(command, env=given, cwd=HERE.parent, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]


@needs_triton
@pytest.mark.parametrize("part", ["entries", "on_the_chip", "in_chunks", "not (entries or on_the_chip or in_chunks)"])
def test_interpreted(part: str, tmp_path: Path) -> None:
    collect("triton_walks.py", part, tmp_path, interpret=True)


@needs_triton
def test_compiled_for_an_h100(tmp_path: Path) -> None:
    if importlib.util.find_spec("triton.backends.nvidia") is None:
        pytest.skip("this triton has no compiler for NVIDIA GPUs")
    collect("triton_compiling.py", "test", tmp_path, interpret=False)


@needs_triton
@needs_gpu
def test_on_the_device(tmp_path: Path) -> None:
    collect("triton_walks.py", "test", tmp_path, interpret=False)


def test_importing_the_kernels_imports_no_triton() -> None:
    """And does not touch CUDA."""
    code = (
        "import sys, torch; known = 'triton' in sys.modules; import optkit.kernels, optkit.kernels.cuda; "
        "assert known or 'triton' not in sys.modules; assert not torch.cuda.is_initialized()"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_what_is_missing_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, w = Triton(), torch.zeros(2, 3)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    if not torch.cuda.is_available():
        assert "TRITON_INTERPRET" in str(kernel.missing()) or "pip install triton" in str(kernel.missing())
    assert "not on cpu" in str(kernel.refuses(w))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert kernel.refuses(w) is None
    assert "float8" in str(kernel.refuses(torch.zeros(2, dtype=torch.float8_e5m2)))
    assert "without gaps" in str(kernel.refuses(torch.zeros(4, 6)[:, ::2]))
    assert "constant metric" in str(kernel.refuses_method(ramda(GroupMCP(0.1, axes=0))))
    assert kernel.refuses_method(rmda(GroupMCP(0.1, axes=0))) is None


def with_part(**parts: Weighting | Averaging | DecayingAverage) -> ProximalMethod:
    """A dense method of these parts."""
    known = {"estimator": DecayingAverage(), "preconditioner": AdamRoot(), "weighting": SqrtWeighting()}
    return ProximalMethod(Zero(), anchor="initial", lr=0.1, **{**known, **parts})  # type: ignore[arg-type]


METHODS: dict[str, Callable[[], ProximalMethod]] = {
    **{name: partial(make, Zero(), epsilon=1e-8) for name, make in kernel_cases.METHODS.items()},
    "ramda, ramp": lambda: ramda(averaging=SquareRootRamp(0.1, begin=7)),
    "ramda, ramp since before": lambda: ramda(averaging=SquareRootRamp(0.01, begin=-7)),
    "rmda, falling": lambda: rmda(averaging=DecayingAveraging(0.9)),
    "proxgen without momentum": lambda: proxgen(betas=(0.0, 0.99)),
    "decaying average": lambda: with_part(weighting=PowerWeighting(-0.25)),
}


def same_numbers(clock: DeviceClock, methods: list[ProximalMethod], ts: list[int], weights: list[float]) -> None:
    clock.prepare()
    for row, (method, t, weight) in enumerate(zip(methods, ts, weights, strict=True)):
        expected = plan(method, t + 1, weight)
        numbers = clock.numbers[row].tolist()
        np.testing.assert_allclose(numbers, [getattr(expected, name) for name in NUMBERS], rtol=1e-11, atol=1e-300)
        scale = method.clock(t + 1).gain if method.anchor == "previous" else 1.0
        np.testing.assert_allclose(clock.scale[row].item(), scale, rtol=1e-12)
        for dtype in LIMIT:
            np.testing.assert_allclose(clock.bounds(dtype)[row].item(), expected.bound(LIMIT[dtype]), rtol=1e-10)


def test_the_clock_agrees_with_the_plan() -> None:
    """All methods on one clock for 200 steps; every tenth is not taken, and one method restarts."""
    methods = [make() for make in METHODS.values()]
    clock, ts, weights = DeviceClock(methods, "cpu"), [0] * len(methods), [0.0] * len(methods)
    for step in range(200):
        same_numbers(clock, methods, ts, weights)
        taken = step % 10 != 9
        clock.advance(torch.tensor(taken) if step % 2 else None if taken else torch.tensor(False))
        if taken:
            weights = [plan(*now).weight for now in zip(methods, [t + 1 for t in ts], weights, strict=True)]
            ts = [t + 1 for t in ts]
        if step == 50:
            ts[0], weights[0] = 0, 0.0
            clock.at(0, 0)
        assert clock.t.tolist() == ts
        np.testing.assert_allclose(clock.weight.tolist(), weights, rtol=1e-12)


def test_the_clock_goes_on_with_another_learning_rate() -> None:
    clock = DeviceClock([ramda(lr=0.1)], "cpu")
    numbers = clock.numbers.data_ptr()
    clock.prepare()
    clock.advance()
    clock.set([ramda(lr=0.01)])
    same_numbers(clock, [ramda(lr=0.01)], [1], [0.1])
    assert clock.numbers.data_ptr() == numbers
    with pytest.raises(ValueError, match="other parts"):
        clock.set([rmda()])


class Odd(Weighting, Averaging):
    """A schedule that is only known to the host."""

    def gain(self, lr: float, t: int) -> float:
        return lr

    def weight(self, t: int) -> float:
        return 1.0


@pytest.mark.parametrize("part", ["weighting", "averaging"])
def test_the_clock_refuses_schedules_that_it_does_not_know(part: str) -> None:
    with pytest.raises(ValueError, match="knows no Odd"):
        DeviceClock([with_part(**{part: Odd()})], "cpu")


def test_constant_averaging_is_exact() -> None:
    clock = DeviceClock([ramda(averaging=ConstantAveraging(0.3))], "cpu")
    clock.prepare()
    assert clock.numbers[0, NUMBERS.index("average")].item() == 0.3
