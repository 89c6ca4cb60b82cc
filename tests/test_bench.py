"""`optkit bench`: lists of parameters, how it takes turns and checks answers, every table, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from optkit.bench import TABLES, measure, measuring, nuclear, published, scaling, solvers, steps, training
from optkit.bench.checking import check
from optkit.bench.contestants import FOREACH, FUSED
from optkit.bench.lists import LISTS, Entry, entries, matrices
from optkit.bench.measuring import arrays, prepared, state_bytes
from optkit.bench.page import page
from optkit.bench.settings import OPTIMIZERS, Settings
from optkit.bench.solvers import Solved
from optkit.bench.subproblems import GROUP_CASES, KINDS, GroupCase
from optkit.bench.table import Column, Table
from optkit.bench.textbook import textbook
from optkit.bench.timing import Effort, Times, compare
from optkit.bench.worker import ask
from optkit.bench.workload import Steps, Workload
from optkit.cli import main
from optkit.core import Subproblem
from optkit.kernels.layout import layout
from optkit.regularizers import GroupLasso, NuclearNorm
from optkit.torch import MethodOptimizer, regularize

SMALL = Settings((), ("tiny",), ("RAMDA", "RMDA"), quick=True, effort=Effort(1, 3, 0.01))
SOME = [*matrices(2, 6, 4), Entry("bias", "free", (6,)), Entry("conv", "weight", (3, 5, 2, 2))]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two tests at a time and two threads each would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("resnet50", 161, 25_557_032),
        ("vgg19", 66, 20_040_522),
        ("transformer", 148, 124_439_808),
        ("transformer-xl", 182, 191_950_298),
        ("tacotron2", 60, 28_193_153),
        ("tiny", 500, 68_000),
    ],
)
def test_a_list_has_the_published_number_of_parameters(name: str, tensors: int, parameters: int) -> None:
    listed = entries(name)
    assert (len(listed), sum(entry.size for entry in listed)) == (tensors, parameters)
    assert len({entry.name for entry in listed}) == tensors


def test_every_list_has_a_description() -> None:
    assert all(function.__doc__ for function in LISTS.values())


def test_groups_are_those_of_regularize() -> None:
    layers = [
        nn.Conv2d(4, 6, 3),
        nn.Conv1d(4, 6, 5),
        nn.Linear(4, 6),
        nn.LSTM(4, 6),
        nn.BatchNorm1d(4),
        nn.Embedding(4, 6),
    ]
    model = nn.ModuleList(layers)
    psi = {
        name: None if group["regularizer"] is None else group["regularizer"].axes
        for group in regularize(model, GroupLasso(1.0))
        for name, _ in group["params"]
    }
    for name, parameter in model.named_parameters():
        free = "bias" in name or name.startswith(("4.", "5."))
        assert Entry(name, "free" if free else "weight", tuple(parameter.shape)).axes == psi[name]


# --- turns ------------------------------------------------------------------------------------------------------------


class Counted:
    """Notes every run in a list that several share."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log, self.prepared = name, log, 0

    def prepare(self) -> None:
        self.prepared += 1

    def run(self) -> None:
        self.log.append(self.name)
        torch.randn(1000, 1000)  # more than the 2 ms from which on a round is one run


def test_runners_take_turns_after_a_warm_up() -> None:
    log: list[str] = []
    runners = {name: Counted(name, log) for name in "abc"}
    times = compare(runners, Effort(2, 4, 1e9), "cpu")
    assert log[:6] == list("aabbcc")
    assert log[6:] == list("abcbcacababc")
    assert all(len(each.seconds) == 4 and each.warmup == 2 and min(each.seconds) > 0 for each in times.values())
    assert [runner.prepared for runner in runners.values()] == [6, 6, 6]


def test_a_cold_run_comes_after_other_memory_was_written_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    class Other:
        def add_(self, _: int) -> None:
            log.append("other")

    def memory(count: int, device: str) -> Other:
        assert 4 * count >= 2**28 and device == "cpu"
        return Other()

    monkeypatch.setattr(torch, "zeros", memory)
    quick = Counted("quick", log)
    monkeypatch.setattr(quick, "run", lambda: log.append("run"))
    times = compare({"quick": quick}, Effort(2, 3, 1e9, cold=True), "cpu")
    assert log == ["run"] * 2 + ["other", "run"] * 3 and times["quick"].repeats == 1


def test_what_is_slow_has_fewer_rounds_but_three() -> None:
    times = compare({"a": Counted("a", [])}, Effort(20, 15, 0.0), "cpu")
    assert len(times["a"].seconds) == 3 and times["a"].warmup == 2


def test_median_and_spread() -> None:
    times = Times((1.0, 2.0, 3.0, 4.0, 100.0), 0, 1)
    assert times.median == 3.0 and times.spread == 1 / 3


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_check_finds_that_solutions_are_right(name: str) -> None:
    taken = prepared(name, Workload(SOME, "cpu"), "GroupLasso", "auto")
    for _ in range(5):
        taken.prepare()
        taken.run()
    found = check(taken)
    assert found is not None and found.residual < 1e-5 and 0 <= found.zeros < 1 and found.condition >= 1
    optimizer = taken.optimizer
    assert isinstance(optimizer, MethodOptimizer)
    if "averaging" in optimizer.param_groups[0]:
        assert {group["averaging"] for group in optimizer.param_groups} == {0.01}, "the run goes on as it was"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_check_finds_a_wrong_solution(name: str) -> None:
    class Wrong(Steps):
        def run(self) -> None:
            super().run()
            with torch.no_grad():
                self.parameters[0].mul_(1.01)

    right = prepared(name, Workload(SOME, "cpu"), "GroupLasso", "auto")
    found = check(Wrong(right.optimizer, right.parameters, right.workload))
    assert found is not None and found.residual > 1e-3


def test_the_bytes_of_the_state_and_the_arrays_that_move() -> None:
    sizes: dict[str, tuple[float, float]] = {}
    for name in (FUSED, "RAMDA", "RMDA", "ProxSGD"):
        taken = prepared(name, Workload(matrices(1, 40, 30), "cpu"), "none", "auto")
        taken.prepare()
        taken.run()
        sizes[name] = state_bytes(taken.optimizer, taken.parameters), arrays(taken.optimizer, taken.parameters)
    assert sizes[FUSED] == (8 + 4 / 1200, 7)
    assert sizes["RAMDA"] == (12, 8) and sizes["RMDA"] == (8, 6) and sizes["ProxSGD"] == (4, 5)


# --- tables -----------------------------------------------------------------------------------------------------------


def quotient(table: Table, above: str, below: str) -> list[float]:
    return [a / b for a, b in zip(table.column(above), table.column(below), strict=True)]


def test_a_table_of_steps() -> None:
    table = steps.table("tiny", ("RAMDA", "RMDA"), "GroupLasso", SMALL)
    assert table.column("optimizer") == [FUSED, FOREACH, "RAMDA", "RMDA"]
    assert table.column("/ fused AdamW") == pytest.approx(quotient(table, "ms", "fused AdamW, ms"))
    for title in ("ms", "/ foreach AdamW", "GB/s", "arrays, copied", "n"):
        assert all(value > 0 for value in table.column(title)), title
    assert table.column("residual")[:2] == [None, None]
    assert all(0 <= residual < 1e-5 for residual in table.column("residual")[2:])


def test_tables_of_scaling() -> None:
    found = list(scaling.tables(replace(SMALL, optimizers=("RMDA",))))
    assert [len(table.rows) for table in found] == [2, 2, 2, 2, 2]
    assert len({table.title for table in found}) == 5
    for table in found:
        costs = [quotient(table, f"{name}, ns", f"{FUSED}, ns") for name in (FOREACH, "RMDA")]
        assert [table.column(f"{name} / fused AdamW") for name in (FOREACH, "RMDA")] == [
            pytest.approx(each) for each in costs
        ]


def test_sizes_that_do_not_fit_into_memory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_memory", lambda device: 400 * 10_000)
    assert scaling.of_sizes((10_000, 100_000), ("RMDA",), SMALL).column("parameters") == [10_000]


@pytest.mark.parametrize("parameters", scaling.PARAMETERS)
def test_matrices_of_the_size_that_is_asked_for(parameters: int) -> None:
    assert sum(entry.size for entry in scaling.of_size(parameters)) == parameters
    assert {entry.shape[0] for entry in scaling.of_size(parameters)} == {scaling.SIDE}


def test_layouts_are_what_they_are_called() -> None:
    """Where groups begin and end in memory, from strides alone; and gradients lie as the weights do."""
    runs = {"rows": 2048, "output channels": 4608, "kernels of 3 x 3": 9, "whole tensors": 2048**2}
    for name, entry in scaling.LAYOUTS.items():
        small = entry._replace(shape=tuple(min(size, 4) for size in entry.shape))
        workload = Workload([small], "cpu")
        (w,), (grad,) = workload.weights(), workload.gradients[0]
        assert w.stride() == grad.stride() and (w.stride()[1] == 1) == (small.channels_last or w.ndim == 2)
        form = torch.channels_last if entry.channels_last else torch.contiguous_format
        strides = torch.empty(entry.shape, device="meta").to(memory_format=form).stride()
        assert entry.axes is not None
        found = layout(entry.shape, strides, entry.axes)
        run = max([size for part, size in runs.items() if part in name], default=0)
        assert found is not None and (found.rows == 1) == bool(run) and run in (0, found.run), name


def test_tables_of_training() -> None:
    for table in training.tables(SMALL):
        passes, own = table.column("forward and backward, ms"), table.column("step, ms")
        wholes = [a + b for a, b in zip(passes, own, strict=True)]
        assert table.column("share of the step") == pytest.approx(
            [100 * b / w for b, w in zip(own, wholes, strict=True)]
        )
        ratios = table.column("training step / that with fused AdamW")
        assert ratios == pytest.approx([whole / wholes[0] for whole in wholes])


def test_the_table_of_the_nuclear_norm() -> None:
    (table,) = nuclear.tables(SMALL)
    assert table.column("steps") == [10] * 3
    assert all(0 < rank <= 16 for rank in table.column("rank")) and table.column("rank")[-1] == 16
    assert all(residual < 3e-5 for residual in table.column("residual"))


def test_the_textbook_has_the_solution() -> None:
    rng = np.random.default_rng(0)
    linear, anchor, start = (torch.asarray(a) for a in rng.standard_normal((3, 12, 9)))
    problem, psi = Subproblem(linear, anchor, torch.asarray(10 ** rng.uniform(-1, 0, (12, 9))), 1.0), NuclearNorm(2.0)
    found = textbook(problem, psi.strength, start, 1e-9, 10_000)
    assert found.converged and 0 < float(problem.residual(found.point, psi)) <= 2e-9
    assert not textbook(problem, psi.strength, start, 1e-9, 3).converged


def test_the_table_of_memory() -> None:
    (table,) = measure(replace(SMALL, tables=("memory",), optimizers=("RAMDA",)))
    state = table.column("state, bytes a parameter")
    assert state[0] == pytest.approx(8, rel=0.01)
    assert 12 <= state[1] < 13


def test_solvers_are_compared_with_the_first_and_a_limit_is_not_a_time() -> None:
    def solved(solver: str, time: float, condition: float, size: int = 16, converged: bool = True) -> Solved:
        return Solved(GroupCase(size, condition, 50), solver, time, 7, converged, 0.02, "1 of 3 groups zero")

    rows = [
        [solved("Fast", 0.01, 1.0), solved("Slow", 0.03, 1.0)],
        [solved("Fast", 0.01, 1.0, 256), solved("Slow", 0.04, 1.0, 256)],
        [solved("Fast", 0.02, 1e4), solved("Slow", 9.0, 1e4, converged=False)],
    ]
    table, overview = solvers._table("", rows, [0.001] * 3), solvers._overview("", rows)
    assert overview.rows == (("1", "3.5 × (3.0 to 4.0)"), ("10,000", "not reached"))
    assert table.rows[0] == ("16", "1", "50", "1 of 3 groups zero", "10.0 ms (7)", 10.0, "3.0 × (7)")
    assert table.rows[2][-1] == "not reached: 2e-02 (7)"


def test_a_copy_is_timed_for_arrays_of_each_kind() -> None:
    cases = {case.kind: case for case in GROUP_CASES}
    assert set(cases) == set(KINDS)
    assert all(0 < solvers.copy_time(case) < 1 for case in cases.values())


def test_solvers_are_timed_and_checked() -> None:
    found = list(measure(replace(SMALL, tables=("solvers",))))
    assert [len(table.rows) for table in found] == [1, 1]


def test_a_wrong_solution_of_a_solver_is_no_time() -> None:
    case = solvers.QUICK[0]
    solution = solvers.solve(case, solvers.EXACT[0])
    with pytest.raises(AssertionError, match="residual"):
        solvers.checked(case, solvers.EXACT[0], replace(solution, point=1.01 * solution.point), 1.0)


def test_a_page_says_what_a_stranger_needs() -> None:
    table = Table("One", "What it is.", (Column("a"), Column("b", ".1f", " ×")), (("x", 2.0), ("y", None)))
    text = page([table, replace(table, title="Two")], SMALL, "optkit bench")
    assert "Written by\n\n    optkit bench\n" in text and "* cores: " in text and "* load before: 0.0" in text
    assert text.count("What it is.") == 1 and "**zeros %**" not in text
    assert "## One\n\nWhat it is.\n\n| a   | b     |\n| --- | ---:  |\n| x   | 2.0 × |\n| y   | –     |\n" in text


def test_the_command_prints_its_tables_and_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "page.md"
    arguments = ["--quick", "--threads", "1", "--tables", "steps", "--optimizers", "RMDA", "--markdown", str(target)]
    assert main(["bench", *arguments]) == 0
    printed, text = capsys.readouterr().out, target.read_text("utf-8")
    assert "## tiny, group lasso" in printed and "| RMDA " in printed
    assert "| RMDA " in text
    assert "    optkit bench --optimizers RMDA --tables steps --threads 1 --quick --markdown page.md\n" in text
    assert "**zeros %**" in text


# --- published implementations ----------------------------------------------------------------------------------------

PUBLISHED = """
import torch

class RAMDA(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum):
        super().__init__(params, dict(lr=lr, momentum=momentum, epsilon=1e-6))

    @torch.no_grad()
    def step(self):
        print("much")
        for group in self.param_groups:
            assert group["dim"] in (None, 0) and (group["lambda_"] > 0) == (group["dim"] is not None)
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(alpha=0.0, initial_point=p.clone(), grad_sum=torch.zeros_like(p))
                    state["grad_sum_sq"] = torch.zeros_like(p)
                state["alpha"] += group["lr"]
                state["grad_sum"] += group["lr"] * p.grad
                state["grad_sum_sq"] += group["lr"] * p.grad**2
                p.zero_()  # right for quiet groups only
"""


def checkout(folder: Path, source: str) -> Path:
    (folder / "Core").mkdir(parents=True)
    (folder / "Core" / "__init__.py").touch()
    (folder / "Core" / "optimizer.py").write_text(source, "utf-8")
    return folder


def test_a_published_implementation_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "theirs", PUBLISHED)
    (table,) = published.tables(replace(SMALL, references=(folder,)))
    assert table.column("published") == ["theirs: RAMDA"]
    (ratio,), (own,) = table.column("/ fused AdamW"), table.column("its / fused AdamW")
    assert table.column("faster by") == [pytest.approx(ratio / own)]
    assert table.column("zeros %") == [100]
    assert table.column("residual")[0] > 1e-2


def test_a_checkout_that_does_not_import_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkout(tmp_path, "import nothing_of_this_name")
    assert main(["bench", "--quick", "--tables", "published", "--optimizers", "RMDA", "--reference", str(folder)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]  # before it may stand that the machine is busy
    assert "No module named 'nothing_of_this_name'" in line


def test_a_worker_hands_back_numbers() -> None:
    found = ask("memory", optimizer=FUSED, name="tiny", device="cpu", kernel="auto")
    assert found["parameters"] == 68_000 and math.isfinite(found["peak"])
    assert json.loads(json.dumps(found)) == found


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--list", "resnet5"], "--list: got 'resnet5'; did you mean 'resnet50'"),
        (["--optimizers", "Ramda"], "--optimizers: got 'Ramda'"),
        (["--tables", "step"], "--tables: got 'step'"),
        (["--rounds", "2"], "--rounds must be at least 3, got 2"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--kernel", "nonsense"], "--kernel: "),
        (["--reference", "/nowhere"], "--reference: /nowhere has no Core/optimizer.py"),
        (["--tables", "published"], "needs --reference DIR"),
        (["--markdown", "/nowhere/page.md"], "--markdown: there is no folder /nowhere"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_runs(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optkit.bench.measure", lambda settings: pytest.fail("it runs"))
    assert main(["bench", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_busy_machine_is_told_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optkit.bench.page.load", lambda: 3.0)
    monkeypatch.setattr("optkit.bench.measure", lambda settings: iter(()))
    assert main(["bench"]) == 0
    assert "this machine is busy (load 3.0)" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_without_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--device", "cuda"]) == 2
    assert "torch finds no CUDA device here" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_steps_on_cuda() -> None:
    settings = replace(SMALL, device="cuda", tables=("steps", "graphs"))
    found: list[Table] = list(measure(settings))
    assert len(found) == 2


def test_every_table_is_a_module() -> None:
    assert all(hasattr(module, "tables") for module in (nuclear, published, scaling, solvers, steps, training))
    assert set(TABLES) >= {"nuclear", "published", "scaling", "solvers", "steps", "training", "memory", "graphs"}
