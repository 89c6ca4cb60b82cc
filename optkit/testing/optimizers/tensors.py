"""The laws of kinds of tensors: precision, memory layout, and tensors without axes or entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from optkit.testing.running import law
from optkit.torch import structured

from .trial import OptimizerTrial, Run, equal, gradient, near, through_a_file

HALF = (torch.bfloat16, torch.float16)


def _dtypes(run: Run) -> set[torch.dtype]:
    tensors = [value for state in run.optimizer.state.values() for value in state.values()]
    return {value.dtype for value in tensors if isinstance(value, Tensor)}


def half_precision_has_state_in_float32(trial: OptimizerTrial) -> None:
    """bf16 and fp16 parameters stay what they are, in and outside structured, and their state is float32."""
    for dtype in HALF:
        run = trial.run(dtype=dtype).steps(2)
        law(_dtypes(run) <= {torch.float32}, f"the state for {dtype} is {_dtypes(run)}")
        for weights in (run.weights(), run.solutions()):
            law({w.dtype for w in weights.values()} == {dtype}, f"parameters of {dtype} have changed their dtype")


def loaded_state_stays_in_float32(trial: OptimizerTrial) -> None:
    """float32 state loaded into bf16 or fp16 parameters stays float32, every bit of it."""
    for dtype in HALF:
        run, other = trial.run(dtype=dtype).steps(2), trial.run(dtype=dtype)
        other.optimizer.load_state_dict(through_a_file(run.optimizer.state_dict()))
        equal(other.optimizer.state_dict(), run.optimizer.state_dict(), f"the state for {dtype}, loaded and saved")


def half_precision_walks_near_float32(trial: OptimizerTrial) -> None:
    """With the same gradients bf16 and fp16 parameters stay near those in float32 that begin where they do."""
    for dtype, tolerance in ((torch.bfloat16, 0.04), (torch.float16, 0.005)):
        half, single = trial.run(dtype=dtype), trial.run()
        single.net.load_state_dict(half.net.state_dict())
        for k in range(4):
            half.put(k)
            for p, q in zip(single.net.parameters(), half.net.parameters(), strict=True):
                p.grad = q.grad.float()
            for run in (half, single):
                run.optimizer.step()
        for name, w in half.weights().items():
            near(w, single.weights()[name], tolerance, f"{name} in {dtype} and in float32")


def double_precision_is_kept(trial: OptimizerTrial) -> None:
    """A model that was moved by double() has float64 state, and walks near the one in float32."""
    double, single = trial.run(dtype=torch.float64).steps(3), trial.run().steps(3)
    law(_dtypes(double) <= {torch.float64}, f"the state for float64 is {_dtypes(double)}")
    for name, w in double.weights().items():
        law(w.dtype == torch.float64, f"{name} has become {w.dtype}")
        near(w, single.weights()[name], 1e-3, f"{name} in float64 and in float32")


def _layouts() -> dict[str, tuple[Tensor, Tensor]]:
    """The same values in contiguous memory and in another layout."""
    generator = torch.Generator().manual_seed(0)
    images, volumes = torch.randn(4, 3, 5, 5, generator=generator), torch.randn(2, 3, 2, 2, 2, generator=generator)
    matrix = torch.randn(4, 6, generator=generator)
    return {
        "channels_last": (images, images.clone(memory_format=torch.channels_last)),
        "channels_last_3d": (volumes, volumes.clone(memory_format=torch.channels_last_3d)),
        "transposed": (matrix, matrix.T.contiguous().T),
        "strided": (matrix, torch.zeros(4, 12)[:, ::2].copy_(matrix)),
    }


def memory_layout_is_kept_and_does_not_matter(trial: OptimizerTrial) -> None:
    """Weights in channels_last, transposed or with gaps keep their strides and walk as contiguous ones, to rounding."""
    for name, (plain, other) in _layouts().items():
        walks = []
        for start in (plain, other):
            p = nn.Parameter(start.clone() if start is plain else start)
            strides, optimizer = p.stride(), trial.alone(p)
            for k in range(3):
                p.grad = gradient(p, k)
                optimizer.step()
            law(p.stride() == strides, f"{name}: the strides are {p.stride()} after {strides}")
            with structured(nn.ParameterList([p]), optimizer):
                law(p.stride() == strides, f"{name}: the strides are {p.stride()} in structured")
            walks.append(p)
        near(walks[0], walks[1], 2e-6, f"contiguous and {name}")


def gradients_may_have_another_layout(trial: OptimizerTrial) -> None:
    """A gradient in another memory layout, or one that is expanded, walks as a contiguous one, to rounding."""
    for name, (plain, other) in _layouts().items():
        walks = []
        for grad in (plain, other):
            p = nn.Parameter(plain.clone())
            optimizer = trial.alone(p)
            for _ in range(2):
                p.grad = grad
                optimizer.step()
            walks.append(p)
        near(walks[0], walks[1], 2e-6, f"a contiguous and a {name} gradient")
    p, q = nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.ones(4, 6))
    p.grad, q.grad = torch.ones(1).expand(4, 6), torch.ones(4, 6)
    for parameter in (p, q):
        trial.alone(parameter).step()
    near(p, q, 2e-6, "an expanded and a contiguous gradient")


def _unusual(trial: OptimizerTrial, shape: tuple[int, ...]) -> None:
    p = nn.Parameter(torch.ones(shape))
    optimizer, net = trial.alone(p), nn.ParameterList([p])
    run = Run(net, optimizer).steps(3)
    law(tuple(p.shape) == shape and bool(torch.isfinite(p).all()), f"it has become {p}")
    law(run.optimizer.uncertified == 0, "its subproblems count as unsolved")
    law(all(w.shape == p.shape for w in run.solutions().values()), "What_t has another shape")
    checkpoint: Any = through_a_file(run.optimizer.state_dict())
    q = nn.Parameter(p.detach().clone())
    other = Run(nn.ParameterList([q]), trial.alone(q))
    other.optimizer.load_state_dict(checkpoint)
    equal(other.steps(4, 3).weights(), run.steps(4, 3).weights(), "resumed and run through")
    run.optimizer.structure()


def tensors_without_entries_are_stepped(trial: OptimizerTrial) -> None:
    """Parameters of the shapes (3, 0) and (0,) are stepped, saved and resumed, and are no failed solves."""
    _unusual(trial, (3, 0))
    _unusual(trial, (0,))


def tensors_without_axes_are_stepped(trial: OptimizerTrial) -> None:
    """A parameter of no axes is stepped, saved and resumed, and moves."""
    _unusual(trial, ())
    p = nn.Parameter(torch.tensor(1.0))
    optimizer = trial.alone(p)
    p.grad = torch.tensor(2.0)
    optimizer.step()
    law(float(p.detach()) < 1, f"against its gradient it has gone from 1 to {float(p.detach())}")


LAWS: tuple[Callable[[OptimizerTrial], None], ...] = (
    half_precision_has_state_in_float32,
    loaded_state_stays_in_float32,
    half_precision_walks_near_float32,
    double_precision_is_kept,
    memory_layout_is_kept_and_does_not_matter,
    gradients_may_have_another_layout,
    tensors_without_entries_are_stepped,
    tensors_without_axes_are_stepped,
)
