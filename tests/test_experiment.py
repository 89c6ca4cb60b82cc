"""`optkit run`: configurations are checked key by key, runs are recorded, resumed and reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock

from optkit import registry
from optkit.cli import main
from optkit.experiment import Experiment, dump, group_structure, load, train
from optkit.problems.datasets import digits
from optkit.problems.models import ConvNet
from optkit.structure import weighted_sparsity

SMALL: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "epochs": 2,
    "batch_size": 256,
    "seeds": [1, 2],
    "model": {"channels": [4, 8], "hidden": 16},
    "stages": {"milestones": [1]},
    "methods": {
        "RAMDA": {"method": "ramda", "regularizer": {"name": "GroupLasso", "strength": 0.005}, "averaging": 0.1},
        "AdamW": {"method": "adamw"},
    },
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}), encoding="utf-8")
    return path


def ramda(**changes: Any) -> dict[str, Any]:
    return {"methods": {"RAMDA": {**SMALL["methods"]["RAMDA"], **changes}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, r"small\.epoch: unknown key; did you mean 'epochs'\? allowed: name, dataset"),
        ({"epochs": "many"}, r"small\.epochs: needs an integer, got 'many'"),
        ({"epochs": True}, r"small\.epochs: needs an integer, got True"),
        ({"epochs": 0}, r"small: epochs must be an integer >= 1, got 0"),
        ({"seeds": 1}, r"small\.seeds: needs a list, got 1"),
        ({"seeds": [1, "a"]}, r"small\.seeds\[1\]: needs an integer, got 'a'"),
        ({"dataset": "digit"}, r"small: dataset must be one of 'digits', 'fashion-mnist', 'mnist', got 'digit'"),
        ({"stages": {"milestones": [2, 1]}}, r"small\.stages: milestones must increase"),
        ({"model": {"channels": [4]}}, r"small\.model\.channels: needs a list of 2, got \[4\]"),
        ({"seeds": [10**23]}, r"small: seeds must lie in \[0, 2\*\*63\)"),
        ({"stages": {"milestones": [2]}}, r"small: milestones must lie before the last of 2 epochs, got \(2,\)"),
        ({"name": ".."}, r"small: name and the labels of methods become names of files, got '\.\.'"),
        (ramda(regulariser={}), r"small\.methods\.RAMDA\.regulariser: unknown key; did you mean 'regularizer'"),
        ({"methods": {}}, r"small: methods must name at least one method"),
        (ramda(method="ramd"), r"small\.methods\.RAMDA\.method: got 'ramd'; did you mean 'ramda'\?"),
        (ramda(learning_rate=1.0), r"small\.methods\.RAMDA\.learning_rate: unknown key; allowed: lr, averaging"),
        (ramda(lr="fast"), r"small\.methods\.RAMDA\.lr: needs a number, got 'fast'"),
        (ramda(lr=-1.0), r"small\.methods\.RAMDA: lr must be a finite number >= 0, got -1\.0"),
        (
            ramda(regularizer={"name": "GroupLaso"}),
            r"RAMDA\.regularizer\.name: there is no Regularizer 'GroupLaso'; did",
        ),
        (ramda(regularizer={"name": "GroupLasso"}), r"RAMDA\.regularizer\.strength: missing"),
        (ramda(regularizer={"name": "GroupLasso", "strength": -1}), r"RAMDA\.regularizer: strength must be .*>= 0"),
        (ramda(solver={"name": "Newton"}), r"RAMDA\.solver\.name: there is no SubproblemSolver 'Newton'; did you mean"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(registry.DataError, match=message) as caught:
        load(write(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_broken_yaml_and_code_in_yaml_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for text in ("name: [", "name: !!python/object/apply:os.system ['true']", "- 1", "", "name: a\nname: b"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(registry.DataError, match=r"bad"):
            load(path)


def test_exponents_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("0.005", "5e-3"), encoding="utf-8")
    psi = load(path).methods["RAMDA"].regularizer
    assert registry.to_data(psi)["strength"] == 5e-3


def test_the_complete_configuration_reads_back(tmp_path: Path) -> None:
    experiment = load(write(tmp_path))
    path = tmp_path / "again.yaml"
    path.write_text(dump(experiment), encoding="utf-8")
    assert load(path) == experiment
    assert "epsilon: 1.0e-06" in path.read_text() and "weight_decay: 0.01" in path.read_text()


def test_shipped_configurations_are_valid() -> None:
    configs = sorted((Path(__file__).parents[1] / "problems" / "configs").glob("*.yaml"))
    assert [load(path).name for path in configs] == [path.stem for path in configs] and configs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one small run, made by the command in a process of its own."""
    folder = tmp_path_factory.mktemp("run")
    command = [sys.executable, "-m", "optkit", "run", str(write(folder)), "--out", str(folder), "--workers", "2"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "80"})
    assert result.returncode == 0, result.stderr
    assert "100%" in result.stderr and "| RAMDA" in result.stdout and "curves.png" in result.stdout
    return folder / "small"


def test_everything_is_written(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert {(line["method"], line["seed"], line["epoch"]) for line in lines} == {
        (method, seed, epoch) for method in ("RAMDA", "AdamW") for seed in (1, 2) for epoch in (1, 2)
    }
    assert "| AdamW" in (finished / "summary.md").read_text()
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert load(finished / "config.yaml").epochs == 2


def test_accuracy_and_sparsity_are_of_the_shipped_weights(finished: Path) -> None:
    data, model = digits(), ConvNet((4, 8), 16).build(digits())
    model.load_state_dict(torch.load(finished / "weights" / "RAMDA-1.pt", weights_only=True))
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    (last,) = [line for line in lines if (line["method"], line["seed"], line["epoch"]) == ("RAMDA", 1, 2)]
    with torch.no_grad():
        right = model(torch.from_numpy(data.test_images)).argmax(1) == torch.from_numpy(data.test_labels)
    assert last["accuracy"] == pytest.approx(float(right.float().mean()))
    sizes = {i: model.get_parameter(f"{i}.weight") for i in (0, 2, 6, 8)}
    zeros = sum(
        int((w.detach().transpose(0, 1).flatten(1) == 0).all(1).sum()) * (w.numel() // w.shape[1])
        for w in sizes.values()
    )
    assert last["sparsity"] == pytest.approx(zeros / sum(w.numel() for w in sizes.values()))
    assert 0 < last["sparsity"] == pytest.approx(weighted_sparsity(group_structure(model)))


def test_a_run_is_reproducible(finished: Path) -> None:
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    again = [record.loss for record in train(load(finished / "config.yaml"), "RAMDA", 2)]
    torch.set_num_threads(torch_threads)
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert again == [line["loss"] for line in lines if (line["method"], line["seed"]) == ("RAMDA", 2)]


def test_an_interrupted_run_goes_on(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = finished / "metrics.jsonl"
    before = metrics.read_text()
    kept = [line for line in before.splitlines() if json.loads(line)["method"] == "RAMDA"]
    metrics.write_text("\n".join(kept) + '\n{"method": "AdamW", "se', encoding="utf-8")
    arguments = ["run", str(finished / "config.yaml"), "--out", str(finished.parent)]
    assert main(arguments) == 0
    after = metrics.read_text()
    assert after.startswith("\n".join(kept)) and len(after.splitlines()) == len(before.splitlines())
    assert main(arguments) == 0  # finished: nothing is trained again
    assert metrics.read_text() == after


def test_another_run_is_not_overwritten(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", str(finished / "config.yaml"), "--out", str(finished.parent), "--epochs", "1"]
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digit"], "did you mean 'digits'?"),
        (["run", "digits", "--methods", "RAMBA"], "did you mean 'RAMDA'?"),
        (["run", "digits", "--epochs", "0"], "epochs must be an integer >= 1, got 0"),
    ],
)
def test_mistakes_on_the_command_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_help_says_what_a_run_writes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("digits", "metrics.jsonl", "curves.png", "--seeds", "examples:"))


def test_a_failing_run_is_named_and_the_others_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = {**SMALL["methods"], "Wild": {**SMALL["methods"]["RAMDA"], "lr": 1e30}}
    path = write(tmp_path, methods=methods, seeds=[1])
    assert main(["run", str(path), "--out", str(tmp_path), "--workers", "2"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "Wild, seed 1: ValueError: " in error and "The other runs are kept" in error
    lines = [json.loads(line) for line in (tmp_path / "small" / "metrics.jsonl").read_text().splitlines()]
    assert {line["method"] for line in lines if line["epoch"] == 2} == {"RAMDA", "AdamW"}


def test_parts_that_do_not_fit_together_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(registry.DataError, match=r"RAMDA: ClosedForm needs a metric constant on the blocks"):
        load(write(tmp_path, **ramda(solver={"name": "ClosedForm"})))


def test_overwrite_removes_a_run_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    config = str(finished / "config.yaml")
    mine = tmp_path / "small" / "config.yaml"
    mine.parent.mkdir()
    mine.write_text("server: x", encoding="utf-8")
    assert main(["run", config, "--out", str(tmp_path), "--overwrite"]) == 2
    assert mine.read_text() == "server: x"
    assert main(["run", config, "--out", str(tmp_path), "--name", "..", "--overwrite"]) == 2


def test_a_folder_in_use_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(finished / ".lock"):
        assert main(["run", str(finished / "config.yaml"), "--out", str(finished.parent)]) == 2
    assert "another command is writing to" in capsys.readouterr().err


def test_workers_end_when_the_command_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "optkit", "run", str(write(tmp_path, epochs=10**6)), "--out", str(tmp_path)]
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    metrics = tmp_path / "small" / "metrics.jsonl"
    until = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < until:
        time.sleep(0.1)
    killed.kill()
    killed.wait()
    while subprocess.run(["pgrep", "-g", str(killed.pid)], capture_output=True, check=False).stdout:
        assert time.monotonic() < until, "workers are still there"
        time.sleep(0.1)
    assert metrics.stat().st_size


def test_milestones_move_with_the_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "digits", "--epochs", "3", "--seeds", "1", "--methods", "AdamW", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert load(tmp_path / "digits" / "config.yaml").stages.milestones == (1, 2)


def test_labels_and_names_are_file_names() -> None:
    with pytest.raises(ValueError, match="become names of files, got 'a/b'"):
        Experiment("a/b", "digits", 1, 1, (1,), {})
