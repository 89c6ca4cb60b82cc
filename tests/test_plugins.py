"""Plug-ins: parts and methods of other distributions are found by the names of their entry points.

The distributions lie in tests/plugins, each with the metadata that an installation would leave beside it. What is
imported stays for the rest of a process, so every test asks a fresh interpreter.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

import optkit

ROOT = Path(__file__).parents[1]
PLUGINS = Path(__file__).parent / "plugins"
README = (ROOT / "README.md").read_text(encoding="utf-8").split("## Add a regularizer\n")[1].split("\n## ")[0]


def run_python(code: str, *distributions: str, warnings: str = "error") -> Any:
    """What the code prints as JSON, in a fresh interpreter that finds optkit and these distributions."""
    paths = [*(str(PLUGINS / name) for name in distributions), str(Path(optkit.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", f"{warnings}::UserWarning", "-c", inspect.cleandoc(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- a regularizer written as the README says -------------------------------------------------------------------------


def block(language: str) -> str:
    """The code of this language in the README's section on regularizers."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return code


def test_the_plugin_is_the_readmes() -> None:
    folder = PLUGINS / "negative_part"
    code = (folder / "optkit_negative_part.py").read_text(encoding="utf-8")
    assert code.endswith(block("python")[block("python").index("@dataclass") :])
    ((group, entries),) = tomllib.loads(block("toml"))["project"]["entry-points"].items()
    promised = [(group, name, value.replace("my_package", "optkit_negative_part")) for name, value in entries.items()]
    declared = Distribution.at(folder / "optkit_negative_part-1.0.dist-info").entry_points
    assert [(entry.group, entry.name, entry.value) for entry in declared] == promised


def test_it_is_known_by_its_name_and_comes_back() -> None:
    data = {"name": "NegativePart", "strength": 0.25}
    assert [data, "optkit_negative_part", ["NegativePart"]] == run_python(
        f"""
        import json
        from optkit import registry
        from optkit.core import Regularizer

        psi = registry.from_data(Regularizer, {data}, "psi")
        names = [name for name, part in registry.components(Regularizer).items() if part is type(psi)]
        print(json.dumps([registry.to_data(psi), type(psi).__module__, names]))
        """,
        "negative_part",
    )


def test_its_name_is_written_when_it_was_imported_by_hand() -> None:
    assert ["NegativePart", "optkit_negative_part:Own"] == run_python(
        """
        import json
        import optkit_negative_part
        from optkit.registry import to_data

        class Own(optkit_negative_part.NegativePart):
            __module__ = "optkit_negative_part"

        print(json.dumps([to_data(part(0.1))["name"] for part in (optkit_negative_part.NegativePart, Own)]))
        """,
        "negative_part",
    )


def test_entry_points_are_read_when_a_name_is_needed_and_once() -> None:
    assert [[], ["optkit.regularizers"], True] == run_python(
        """
        import importlib.metadata, json, sys

        groups, entry_points = [], importlib.metadata.entry_points
        importlib.metadata.entry_points = lambda group: (groups.append(group), entry_points(group=group))[1]

        import optkit.algorithms, optkit.regularizers, optkit.solvers
        from optkit import registry
        from optkit.core import Regularizer

        psi = optkit.regularizers.L1(0.1)
        registry.to_data(psi)
        before = list(groups)
        loaded = "optkit_negative_part" in sys.modules
        for _ in range(3):
            registry.to_data(registry.from_data(Regularizer, {"name": "NegativePart", "strength": 1}, "psi"))
        print(json.dumps([before, groups, not loaded]))
        """,
        "negative_part",
    )


def test_a_configuration_names_it_and_it_trains(tmp_path: Path) -> None:
    """With `optkit run`'s reading and training; the complete configuration names it too and reads back."""
    path = tmp_path / "small.yaml"
    method = {"method": "ramda", "lr": 0.1, "averaging": 0.5, **yaml.safe_load(block("yaml"))}
    model = {"channels": [2, 2], "hidden": 4}
    small = {"name": "small", "dataset": "digits", "epochs": 1, "batch_size": 512, "seeds": [1], "model": model}
    path.write_text(yaml.safe_dump({**small, "methods": {"RAMDA": method}}), encoding="utf-8")
    written, equal, epochs = run_python(
        f"""
        import json
        from pathlib import Path
        from optkit.experiment import dump, load, train

        path = Path({str(path)!r})
        experiment = load(path)
        path.write_text(dump(experiment), encoding="utf-8")
        records = list(train(experiment, "RAMDA", 1))
        print(json.dumps([dump(experiment), load(path) == experiment, [record.epoch for record in records]]))
        """,
        "negative_part",
    )
    assert yaml.safe_load(written)["methods"]["RAMDA"]["regularizer"] == {"name": "NegativePart", "strength": 1e-4}
    assert equal and epochs == [1]


def test_both_front_ends_find_its_structure() -> None:
    """Least squares with the identity has the minimiser prox(target), known in closed form."""
    numpy_point, group, least, torch_summary = run_python(
        """
        import json
        import numpy as np
        import torch
        from optkit import minimize
        from optkit.algorithms import ramda
        from optkit.problems import LeastSquares
        from optkit.torch import RAMDA, regularize, structured
        from optkit_negative_part import NegativePart

        problem = LeastSquares(np.eye(3), np.array([2.0, -0.01, -3.0]))
        point = minimize(problem, ramda(NegativePart(0.1), lr=0.1, averaging=0.5), steps=500).structured

        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2)
        optimizer = RAMDA(regularize(model, NegativePart(1.0)), lr=0.1, averaging=0.5)
        x = torch.randn(64, 4)
        y = x @ torch.tensor([[1.0, -0.5], [-0.5, 1.0], [2.0, -0.5], [-0.5, 0.5]])
        for _ in range(200):
            optimizer.zero_grad()
            (model(x) - y).square().sum(dim=1).mean().backward()
            optimizer.step()
        with structured(model, optimizer):
            least = model.weight.min().item()
        group = optimizer.param_groups[0]["regularizer"]
        print(json.dumps([list(point), group, least, str(optimizer.structure()["weight"])]))
        """,
        "negative_part",
    )
    assert numpy_point == pytest.approx([2.0, 0.0, -2.7], abs=1e-2) and numpy_point[1] == 0.0
    assert group == {"name": "NegativePart", "strength": 1.0}
    assert least == 0.0 and torch_summary == "4 of 8 entries zero"


FEWER_BACKENDS = """
from functools import partial
import optkit.testing
optkit.testing.check_regularizer = partial(optkit.testing.check_regularizer, backends=["numpy64", "torch32"])
"""


def test_it_passes_the_conformance_kit() -> None:
    """By the test in the README, on two back ends."""
    test = block("py").replace("my_package", "optkit_negative_part")
    assert run_python(f"{FEWER_BACKENDS}{test}test_negative_part()\nprint('true')", "negative_part")


# --- plug-ins of other kinds ------------------------------------------------------------------------------------------


def test_every_group_is_read() -> None:
    parts, written, back = run_python(
        """
        import json
        from optkit import registry
        from optkit.core import Averaging, Preconditioner, SubproblemSolver

        found = {kind.__name__: registry.components(kind) for kind in registry.KINDS}
        parts = {
            kind: [name for name, part in known.items() if part.__module__ == "optkit_every_group"]
            for kind, known in found.items()
        }
        method = registry.call(registry.methods()["damped"], {"psi": {"name": "L1", "strength": 0.1}}, "method")
        own = {SubproblemSolver: method.solver, Averaging: method.averaging, Preconditioner: method.preconditioner}
        data = {kind: registry.to_data(part) for kind, part in own.items()}
        back = all(registry.from_data(kind, data[kind], "part") == part for kind, part in own.items())
        print(json.dumps([parts, [part["name"] for part in data.values()], back]))
        """,
        "every_group",
    )
    assert parts == {
        "Regularizer": [],
        "SubproblemSolver": ["Steps"],
        "StoppingRule": ["Three"],
        "Averaging": ["UniformAveraging"],
        "GradientEstimator": ["LastGradient"],
        "Preconditioner": ["Count"],
        "Weighting": ["LinearWeighting"],
    }
    assert written == ["Steps", "UniformAveraging", "Count"] and back


# --- plug-ins that can not be used ------------------------------------------------------------------------------------

# the plug-in, its group, and why it is left out
LEFT_OUT = {
    "Misplaced = optkit.algorithms:CubeRoot (optkit.algorithms)": "declare it in the group optkit.preconditioners",
    "NoMethod = textwrap:dedent (optkit.algorithms)": (
        "it is no class derived from Averaging or GradientEstimator or Weighting, nor a function annotated to return a "
        "ProximalMethod"
    ),
    "Malformed = not a module (optkit.preconditioners)": "",  # the words are Python's
    "Absent = optkit.regularizers:Absent (optkit.regularizers)": (
        "AttributeError: module 'optkit.regularizers' has no attribute 'Absent'; mend its distribution or uninstall it"
    ),
    "Failing = optkit_broken:Failing (optkit.regularizers)": (
        "ImportError: it needs a library that is not there; mend its distribution or uninstall it"
    ),
    "L1 = optkit_broken:L1 (optkit.regularizers)": "optkit.regularizers.L1 has this name; rename the plug-in",
    "NegativePart = optkit_unused:NegativePart (optkit.regularizers)": (
        "optkit_negative_part:NegativePart has this name; rename one of them or uninstall it"
    ),
    "NoRegularizer = fractions:Fraction (optkit.regularizers)": "it is no class derived from Regularizer",
    "Unfinished = optkit.core:Regularizer (optkit.regularizers)": (
        "it is abstract; define block_max, block_values, manifold, project_subdifferential, prox"
    ),
}


@pytest.fixture(scope="module")
def beside_broken() -> Any:
    """The warnings, the names of all parts, and where L1 and NegativePart come from, with broken plug-ins around."""
    return run_python(
        """
        import json, warnings
        from optkit import registry
        from optkit.core import Regularizer

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(2):
                names = [*registry.methods(), *(name for kind in registry.KINDS for name in registry.components(kind))]
            known = registry.components(Regularizer)
            try:
                registry.from_data(Regularizer, {"name": "Failing", "strength": 0.1}, "psi")
            except registry.DataError as error:
                refusal = str(error)
        origins = [known[name].__module__ for name in ("L1", "NegativePart")]
        print(json.dumps([[str(warning.message) for warning in caught], names, origins, refusal]))
        """,
        "broken",
        "negative_part",
        warnings="default",
    )


def test_each_is_left_out_with_one_warning_that_says_why(beside_broken: Any) -> None:
    messages = beside_broken[0]
    for plugin, reason in LEFT_OUT.items():
        (message,) = [
            message for message in messages if f"the plug-in {plugin} of optkit-broken is left out: " in message
        ]
        assert message.endswith(reason) and "\n" not in message
    assert len(messages) == len(LEFT_OUT)


def test_the_others_work(beside_broken: Any) -> None:
    _, names, (l1, negative_part), refusal = beside_broken
    assert negative_part == "optkit_negative_part" and l1.endswith("regularizers.l1")
    assert not {"Absent", "Failing", "NoMethod", "NoRegularizer", "Unfinished", "Misplaced"} & set(names)
    assert "there is no Regularizer 'Failing'; " in refusal
