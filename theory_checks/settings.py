"""What a user can change about the checks, and how their runs are spread over cores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from joblib import Parallel, delayed
from tqdm import tqdm

from optkit import validate
from optkit.algorithms import ProximalMethod
from optkit.core import Regularizer

ResultT = TypeVar("ResultT")
DATA = ("digits", "a9a", "mnist")


@dataclass(frozen=True)
class Settings:
    """seeds: runs of each kind, >= 2;  steps: of each run, >= 100;  workers: processes;  smoke: fewer kinds of runs;
    method: a function of psi that makes the method to test in the place of RAMDA and RMDA, with its name;
    regularizer: psi in the place of the structures;  data: sets for the problems that are not made up, of DATA.

    Raises ValueError or TypeError naming the field.
    """

    seeds: int = 20
    steps: int = 2000
    workers: int = 1
    smoke: bool = False
    method: Callable[[Regularizer], ProximalMethod] | None = None
    method_name: str = "method"
    regularizer: Regularizer | None = None
    data: tuple[str, ...] = ("digits",)

    def __post_init__(self) -> None:
        validate.count("seeds", self.seeds, least=2)
        validate.count("steps", self.steps, least=100)
        validate.count("workers", self.workers)
        validate.flag("smoke", self.smoke)
        if not isinstance(self.data, tuple):
            raise TypeError(f"data must be a tuple of names such as ('digits',), got {self.data!r}")
        for name in self.data:
            validate.choice("data", name, DATA)
        if self.method is not None and not callable(self.method):
            raise TypeError(f"method must be a function of a regularizer, got {self.method!r}")
        if self.regularizer is not None:
            validate.instance("regularizer", self.regularizer, Regularizer, "for example GroupLasso(0.2, axes=1)")

    def map(self, name: str, function: Callable[..., ResultT], tasks: Iterable[tuple[Any, ...]]) -> list[ResultT]:
        """function(*task) for each task, in their order, with a progress bar on a terminal."""
        tasks = list(tasks)
        bar = tqdm(total=len(tasks), desc=name, unit="run", leave=False, disable=None)
        results = []
        with bar:
            parallel = Parallel(n_jobs=min(self.workers, max(len(tasks), 1)), return_as="generator")
            for result in parallel(delayed(function)(*task) for task in tasks):
                results.append(result)
                bar.update()
        return results
