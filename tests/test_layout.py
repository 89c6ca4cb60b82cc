"""The layout: parts are top-level folders, reached as optkit.NAME; imports run one way; the wheel holds one package."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

import optkit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(optkit.__file__).parent
PARTS = ("regularizers", "solvers", "algorithms", "problems", "theory_checks")

# A module may import from its own layer and from those above it in this list. What is not listed is a front end and
# may import everything: problems, theory_checks, torch, minimize, experiment, report, cli, ...
LAYERS = ("validate", "core", "registry", "regularizers", "solvers", "algorithms")
# The layers that need no other package than these.
THIRD_PARTY = {"validate": {"numpy", "array_api_compat"}, "core": {"numpy", "array_api_compat"}}


@pytest.fixture
def checkout() -> Path:
    """The root of the repository; skips where the tests lie elsewhere."""
    if not (ROOT / "pyproject.toml").exists() or (ROOT / "PKG-INFO").exists():
        pytest.skip("needs a checkout of the repository: tests/ beside pyproject.toml, optkit/ and the part folders")
    return ROOT


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_a_real_folder_and_a_relative_link_leads_to_it(checkout: Path, part: str) -> None:
    folder, link = checkout / part, checkout / "optkit" / part
    assert folder.is_dir() and not folder.is_symlink()
    assert link.is_symlink(), f"optkit/{part} is no symbolic link; on Windows: git config core.symlinks true"
    assert link.readlink() == Path("..", part)


# --- imports in a fresh interpreter -----------------------------------------------------------------------------------

IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
import optkit

found = [module.name for module in pkgutil.walk_packages(optkit.__path__, "optkit.")]
for name in found:
    if not name.endswith(".__main__"):  # a __main__ runs when it is imported
        importlib.import_module(name)
print(json.dumps({"found": found, "loaded": list(sys.modules)}))
"""


def run_python(code: str) -> str:
    """What the code prints in a fresh interpreter that finds the same optkit."""
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def source_files() -> dict[str, Path]:
    """All Python files of the installed optkit, by module name; a package is called optkit. ... .__init__."""
    paths = [path for folder in (PACKAGE, *(PACKAGE / part for part in PARTS)) for path in folder.rglob("*.py")]
    return {".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in paths}


def test_every_module_imports_and_none_under_a_bare_name() -> None:
    modules = json.loads(run_python(IMPORT_EVERYTHING))
    on_disk = {name.removesuffix(".__init__") for name in source_files()}
    assert {"optkit", *modules["found"]} == on_disk, "a folder without __init__.py?"
    assert {f"optkit.{part}" for part in PARTS} <= set(modules["loaded"])
    assert set(PARTS) & set(modules["loaded"]) == set()


def test_regularizers_solvers_and_algorithms_do_not_import_torch() -> None:
    code = "import sys, optkit.regularizers, optkit.solvers, optkit.algorithms; print('torch' in sys.modules)"
    assert run_python(code).strip() == "False"


# --- the direction of imports -----------------------------------------------------------------------------------------


def layer(module: str) -> int:
    """The place in LAYERS of optkit.NAME or a module in it; behind them all for a front end and for optkit itself."""
    name = module.split(".")[1] if "." in module else ""
    return LAYERS.index(name) if name in LAYERS else len(LAYERS)


def imported_names(module: str, source: str) -> Iterator[tuple[int, str]]:
    """The line and the full name of everything the source imports; two dots and more are kept."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dots = module.rpartition(".")[0] if node.level == 1 else "." * node.level
            origin = ".".join(filter(None, (dots, node.module)))
            names = [f"optkit.{alias.name}" for alias in node.names] if origin == "optkit" else [origin]
            yield from ((node.lineno, name) for name in names)


def objection(module: str, name: str) -> str | None:
    """Why the module may not import the name, or None."""
    top = name.partition(".")[0]
    if not top:
        return "a relative import has one dot"
    if top == "optkit":
        return "imports run the other way" if layer(name) > layer(module) else None
    allowed = THIRD_PARTY.get(module.split(".")[1])
    if allowed is not None and top not in allowed | sys.stdlib_module_names:
        return f"only {', '.join(sorted(allowed))} may be imported here"
    return None


def violations(module: str, source: str) -> list[str]:
    """One sentence for every import in the source that breaks the rules."""
    found = ((line, name, objection(module, name)) for line, name in imported_names(module, source))
    return [f"{module}, line {line}: import of {name}: {reason}" for line, name, reason in found if reason]


def test_imports_run_one_way() -> None:
    assert [fault for name, path in source_files().items() for fault in violations(name, path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("optkit.core", "from optkit.regularizers import L1"),
        ("optkit.core", "import torch"),
        ("optkit.validate", "from .core import Array"),
        ("optkit.validate", "import scipy.linalg"),
        ("optkit.registry", "from optkit import solvers"),
        ("optkit.regularizers.l1", "import math, optkit.solvers.closed_form as other"),
        ("optkit.regularizers.__init__", "from ..core import Array"),
        ("optkit.solvers.closed_form", "def late():\n    from optkit import minimize"),
        ("optkit.algorithms.method", "import optkit"),
        ("optkit.algorithms.method", "from optkit.torch.grouping import regularize"),
    ],
)
def test_the_checker_finds_a_planted_violation(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("optkit.__init__", "from optkit.minimize import minimize"),
        ("optkit.core", "import math\nfrom array_api_compat import array_namespace"),
        ("optkit.registry", "from . import core, validate"),
        ("optkit.regularizers.__init__", "from .l1 import L1"),
        ("optkit.solvers.closed_form", "from optkit import validate\nfrom optkit.regularizers import L1"),
        ("optkit.torch.optimizer", "import torch\nfrom optkit.algorithms import ramda\nfrom .grouping import f"),
        ("optkit.problems.digits", "from optkit import minimize"),
    ],
)
def test_the_checker_lets_a_lawful_import_pass(module: str, source: str) -> None:
    assert violations(module, source) == []


# --- the wheel --------------------------------------------------------------------------------------------------------


def files_to_ship(root: Path) -> dict[str, bytes]:
    """The contents of all files of optkit/ and of the part folders, by their name in the wheel."""
    folders = {"optkit": root / "optkit"} | {f"optkit/{part}": root / part for part in PARTS}
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for name, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_files_on_disk_and_no_second_package(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = pytest.importorskip("hatchling.build", reason="needs hatchling, from the extra `dev`")
    monkeypatch.chdir(checkout)
    with ZipFile(tmp_path / backend.build_wheel(str(tmp_path))) as wheel:
        members = {name: wheel.read(name) for name in wheel.namelist()}
    assert {name.partition("/")[0] for name in members} == {"optkit", f"optkit-{optkit.__version__}.dist-info"}
    assert {name: data for name, data in members.items() if name.startswith("optkit/")} == files_to_ship(checkout)


def test_the_version_is_the_one_in_pyproject(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    assert optkit.__version__ == project["version"]
