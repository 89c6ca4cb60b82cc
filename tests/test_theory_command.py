"""`optkit theory`: what it refuses, what it prints, what it writes, and its exit status."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import optkit
from optkit.algorithms import ProximalMethod
from optkit.cli import main
from optkit.regularizers import L1, GroupLasso
from optkit.theory_checks import CHECKS, Finding, Outcome, Picture, Settings, command, load, run
from optkit.theory_checks.reporting.markdown import MARK
from optkit.theory_checks.reporting.markdown import text as markdown_text
from optkit.theory_checks.reporting.prose import Bullets, Display, Paragraph, blocks, label
from optkit.theory_checks.reporting.record import plain
from optkit.theory_checks.reporting.terminal import table

NASTY = "||w|| <= <script>alert('x')</script> & a_b *c* _d_ [e](f) #1 \\n"
DOCSTRING = """Theorem 9: a <b>bold</b> statement.

Assumptions, and how they are met:

- one that goes
  on, with `code|bar`;
- another.

    Q(w) - min Q <= (1 - 1/kappa)^k

1. first
2. second
"""

MODULE = """
import dataclasses
from optkit.algorithms import ramda, rmda
from optkit.regularizers import L1

def mine(psi): return rmda(psi, 0.2)
def typed(psi, lr: float = 0.1): return rmda(psi, lr)
def free(psi, **parts): return rmda(psi, **parts)
def number(psi): return 3
def forgets(psi): return rmda(L1(0.1))
def raises(psi): raise KeyError("no such\\nthing")
def none(): return rmda(L1(0.1))
CONSTANT = 3

@dataclasses.dataclass(frozen=True)
class Mine(L1):
    pass

class Odd(L1):
    def prox(self, v, scale): raise RuntimeError("not yet")

def factory(): return 3
"""


def finding(holds: bool = True, control: bool = False, **changes: Any) -> Finding:
    values = {"check": "first", "statement": "RAMDA identifies", "measured": "5 of 5 seeds", "rule": "every seed"}
    return Finding(**{**values, "holds": holds, "control": control, **changes})


class FakeChecks(dict[str, list[Any]]):
    """Checks by name, each with what it yields; an exception is raised. `seen`: the settings that they got."""

    seen: Settings | None = None

    def check(self, name: str, settings: Settings) -> Outcome:
        self.seen = settings
        for item in self[name]:
            if isinstance(item, BaseException):
                raise item
            yield item


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeChecks:
    """Two checks that pass, in the place of all; the working directory is empty but for my_checks.py."""
    fake = FakeChecks(first=[finding(), finding(False, True)], second=[finding(check="second")])
    for name in list(CHECKS):
        monkeypatch.delitem(CHECKS, name)
    for name in fake:
        module = ModuleType(f"optkit.theory_checks.{name}", DOCSTRING)
        vars(module)["check"] = lambda settings, name=name: fake.check(name, settings)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(CHECKS, name, f"Theorem of the {name} & <last> kind")
    (tmp_path / "work").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "my_checks.py").write_text(MODULE)
    (tmp_path / "lib" / "broken_checks.py").write_text("raise SystemExit('no\\nway')")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("my_checks", "broken_checks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return fake


def theory(*arguments: str) -> int:
    return main(["theory", "--workers", "1", *arguments])


def picture(name: str = "first-one", caption: str = "Entries `off`.") -> Picture:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    return Picture(name, caption, figure)


def data(folder: str = "runs/theory") -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(Path(folder, "results.json").read_text("utf-8"), parse_constant=refuse)


# --- the package ------------------------------------------------------------------------------------------------------


def test_every_check_is_there_in_reading_order() -> None:
    assert list(CHECKS)[-1] == "errata"
    assert len(CHECKS) == 7


def test_importing_the_command_waits_for_nothing_heavy() -> None:
    code = "import sys, optkit.cli; optkit.cli._parser(); print({'torch', 'matplotlib', 'joblib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


ROOT = Path(optkit.__file__).parents[1]


def test_both_names_of_the_command_list_the_checks() -> None:
    for start in (["-m", "optkit", "theory"], ["-m", "optkit.theory_checks"]):
        done = subprocess.run([sys.executable, *start, "--list"], capture_output=True, text=True, check=True, cwd=ROOT)
        assert [line.split()[0] for line in done.stdout.splitlines()] == list(CHECKS)


def test_defaults_are_those_of_the_settings() -> None:
    default = Settings()
    assert command.FULL == {"seeds": default.seeds, "steps": default.steps}


# --- running ----------------------------------------------------------------------------------------------------------


def test_run_gives_everything_as_a_value_and_tells_each_finding_when_it_comes(checks: FakeChecks) -> None:
    checks["first"].append(picture())
    told: list[Finding] = []
    results = run(report=told.append)
    assert told == results.findings == [*checks["first"][:2], *checks["second"]]
    assert [check.name for check in results.checks] == ["first", "second"]
    assert results.checks[0].pictures == (checks["first"][2],)
    assert results.checks[0].text == load("first").__doc__ == DOCSTRING
    assert results.passed


def test_run_keeps_the_reading_order_and_refuses_unknown_names(checks: FakeChecks) -> None:
    assert [check.name for check in run(["second", "first"]).checks] == ["first", "second"]
    with pytest.raises(ValueError, match="there is no check 'secnd'; did you mean 'second'"):
        run(["secnd"])


@pytest.mark.parametrize("faulty", [finding(False), finding(True, control=True)])
def test_a_claim_that_fails_and_a_control_that_holds_fail(checks: FakeChecks, faulty: Finding) -> None:
    checks["second"].append(faulty)
    results = run()
    assert [check.passed for check in results.checks] == [True, False]
    assert not results.passed


def test_a_check_that_raises_has_failed_and_the_others_go_on(checks: FakeChecks) -> None:
    checks["first"].insert(1, RuntimeError("boom\nthe last line"))
    results = run()
    assert [check.passed for check in results.checks] == [False, True]
    last = results.checks[0].findings[-1]
    assert last.measured == "RuntimeError: the last line"
    assert "boom" in last.numbers["traceback"]


def test_a_check_without_findings_fails_unless_the_settings_leave_it_nothing(checks: FakeChecks) -> None:
    checks["first"].clear()
    assert not run().passed
    assert run(settings=Settings(regularizer=L1(0.1))).passed
    assert not run(["first"], Settings(regularizer=L1(0.1))).passed  # then nothing at all was tested


# --- exit status and what is printed ----------------------------------------------------------------------------------


def test_status_0_a_line_for_each_finding_and_a_table(checks: FakeChecks, capsys: pytest.CaptureFixture[str]) -> None:
    assert theory() == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"ok +first +RAMDA identifies: 5 of 5 seeds", lines[0])
    assert re.fullmatch(r"fails, as it must +first +RAMDA identifies: 5 of 5 seeds", lines[1])
    assert "All came out as they must: 2 claims hold, 1 control fails." in lines
    assert checks.seen is not None and (checks.seen.seeds, checks.seen.steps, checks.seen.smoke) == (20, 2000, False)


@pytest.mark.parametrize("faulty", [finding(False), finding(True, control=True), ValueError("no")])
def test_status_1_when_something_did_not_come_out_as_it_must(checks: FakeChecks, faulty: Any, capsys: Any) -> None:
    checks["first"].append(faulty)
    assert theory() == 1
    assert "1 of 4 findings did not come out as they must." in capsys.readouterr().out
    assert data()["passed"] is False


def test_status_130_when_interrupted_and_no_report(checks: FakeChecks, capsys: pytest.CaptureFixture[str]) -> None:
    checks["first"].append(KeyboardInterrupt())
    assert theory() == 130
    assert capsys.readouterr().err.strip() == "optkit theory: interrupted; no report was written"
    assert not Path("runs").exists()


def test_smoke_is_a_start_from_which_seeds_and_steps_differ(checks: FakeChecks) -> None:
    assert theory("--smoke", "--steps", "1500") == 0
    assert checks.seen is not None and (checks.seen.seeds, checks.seen.steps, checks.seen.smoke) == (6, 1500, True)


def test_only_the_named_checks(checks: FakeChecks, capsys: pytest.CaptureFixture[str]) -> None:
    assert theory("--seeds", "7", "second") == 0
    assert [check["name"] for check in data()["checks"]] == ["second"]


def test_the_table_keeps_its_columns_in_line(checks: FakeChecks) -> None:
    checks["first"] = [finding(statement="word " * 30, measured="number " * 30)]
    lines = table(run(), width=100).split("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line[:7].strip() in ("verdict", "-------", "ok", "") for line in lines)


# --- mistakes: status 2, one line, nothing done -----------------------------------------------------------------------

MISTAKES = [
    (["frist"], "there is no check 'frist'; did you mean 'first'? allowed: first, second"),
    (["--seeds", "5"], "--seeds: 5 decide nothing; give at least 6"),
    (["--seeds", "x"], "--seeds: invalid int value: 'x'"),
    (["--steps", "999"], "--steps: 999 decide nothing; give at least 1000"),
    (["--workers", "0"], "--workers must be an integer >= 1, got 0"),
    (["--data", "cifar"], "invalid choice: 'cifar'"),
    (["--unknown"], "unrecognized arguments: --unknown; see optkit --help"),
    (["--method", "ramdda"], "there is no method 'ramdda'; did you mean 'ramda'? allowed: proxgen"),
    (["--method", "madgrad"], "there is no method 'madgrad'"),
    (["--method", "{name: ramda, lr: fast}"], "--method.lr: needs a number, got 'fast'"),
    (["--method", "{name: ramda, speed: 1}"], "--method.speed: unknown key; allowed: lr"),
    (["--method", "{name: ramda, lr: -1}"], "--method: ramda: lr must be a finite number >= 0"),
    (["--method", "{name: ramda, lr: 0}"], "--method: ramda: its lr must be > 0, got 0"),
    (["--method", "{lr: 1}"], "--method: needs a name, MODULE:NAME or a mapping"),
    (["--method", "{lr: "], "--method: not valid YAML"),
    (["--method", "[1, 2]"], "--method: needs a name"),
    (["--method", ""], "--method: needs a name"),
    (["--method", "no_such_module:f"], "can not import 'no_such_module': ModuleNotFoundError: No module named"),
    (["--method", "broken_checks:f"], "can not import 'broken_checks': SystemExit: no way; give MODULE:FUNCTION"),
    (["--method", ":f"], "--method: can not import ''"),
    (["--method", "my_checks:mien"], "my_checks has no function or class 'mien'; did you mean 'mine'?"),
    (["--method", "my_checks:CONSTANT"], "my_checks has no function or class 'CONSTANT'"),
    (["--method", "my_checks:number"], "my_checks:number: it must return a ProximalMethod, returned 3 of type int"),
    (["--method", "my_checks:forgets"], "it must pass its psi on"),
    (["--method", "my_checks:raises"], "--method: my_checks:raises: KeyError: 'no such\\nthing'"),
    (["--method", "my_checks:none"], "takes 0 positional arguments but 1 was given"),
    (["--method", "{name: my_checks:typed, lr: x}"], "--method.lr: needs a number, got 'x'"),
    (["--method", "{name: my_checks:free, rl: 1}"], "unexpected keyword argument 'rl'"),
    (["--regularizer", "GroupLaso"], "there is no regularizer 'GroupLaso'; did you mean 'GroupLasso'? allowed:"),
    (["--regularizer", "{name: GroupLasso, strength: 0.2}"], "--regularizer: GroupLasso: "),
    (["--regularizer", "{name: GroupLasso, strength: -1}"], "strength must be"),
    (["--regularizer", "{name: L1}"], "--regularizer.strength: missing"),
    (
        ["--regularizer", "NMSparsity"],
        "--regularizer: NMSparsity needs n, m; write '{name: NMSparsity, n: ..., m: ...}'",
    ),
    (["--regularizer", "my_checks:Odd"], "--regularizer: my_checks:Odd: RuntimeError: not yet"),
    (["--regularizer", "my_checks:factory"], "my_checks:factory gives a int; it must be a class derived from"),
    (["--out", "taken"], "--out: taken holds files that are no earlier report: notes.txt; name another folder"),
    (["--out", "taken/notes.txt"], "is a file"),
    (["--out", "mine.md/below"], "--out: can not write to mine.md/below: "),
    (["--markdown", "mine.md/below.md"], "--markdown: can not write to mine.md/below.md: "),
    (["--markdown", "taken/notes.txt"], "--markdown: needs a file that ends in .md"),
    (["--markdown", "mine.md"], "--markdown: mine.md is no earlier report"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_told_in_one_line_before_anything_runs(
    checks: FakeChecks, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("taken").mkdir()
    Path("taken/notes.txt").write_text("mine")
    Path("mine.md").write_text("mine")
    try:
        status = theory(*arguments)
    except SystemExit as stop:  # from argparse
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("optkit") and message in err
    assert checks.seen is None and not Path("runs").exists()
    assert [Path("taken/notes.txt").read_text(), Path("mine.md").read_text()] == ["mine", "mine"]


def test_data_that_can_not_be_had_is_a_mistake(checks: FakeChecks, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("OPTKIT_DATA", "nowhere")
    assert theory("--data", "mnist") == 2
    assert re.match(r"optkit: --data: mnist: FileNotFoundError: .*\n$", capsys.readouterr().err)
    assert checks.seen is None


# --- a user's own method and regularizer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "label", "lr"),
    [
        ("ramda", "ramda", 0.01),
        ("{name: ramda, lr: 5e-2}", "ramda(lr=0.05)", 0.05),
        ("my_checks:mine", "mine", 0.2),
        ("{name: my_checks:typed, lr: 1}", "typed(lr=1)", 1.0),
        ("{name: my_checks:free, lr: 0.3}", "free(lr=0.3)", 0.3),
        ("{name: my_checks:mine}", "mine", 0.2),
    ],
)
def test_a_method_by_name_or_from_a_module(checks: FakeChecks, text: str, label: str, lr: float) -> None:
    assert theory("--method", text) == 0
    assert checks.seen is not None and checks.seen.method is not None
    method = checks.seen.method(L1(0.1))
    assert isinstance(method, ProximalMethod)
    assert (checks.seen.method_name, method.lr, method.psi) == (label, lr, L1(0.1))
    assert data()["settings"]["method"] == label


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("L1", {"name": "L1", "strength": 0.2}),
        ("{name: L1, strength: 3e-1}", {"name": "L1", "strength": 0.3}),
        ("my_checks:Mine", {"name": "my_checks:Mine", "strength": 0.2}),
        ("{name: my_checks:Mine, strength: 0.1}", {"name": "my_checks:Mine", "strength": 0.1}),
    ],
)
def test_a_regularizer_by_name_or_from_a_module(checks: FakeChecks, text: str, written: dict[str, Any]) -> None:
    assert theory("--regularizer", text, "--method", "my_checks:mine") == 0
    assert checks.seen is not None and type(checks.seen.regularizer).__name__ in ("L1", "Mine")
    assert data()["settings"]["regularizer"] == written


@pytest.mark.parametrize("text", ["{name: GroupLasso, strength: 0.2, axes: [1]}", "GroupLasso"])
def test_axes_are_read_as_configurations_read_them(checks: FakeChecks, text: str) -> None:
    assert theory("--regularizer", text) == 0
    assert checks.seen is not None and checks.seen.regularizer == GroupLasso(0.2, axes=(1,))


def test_a_module_in_the_working_directory_is_found(checks: FakeChecks, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("here_only.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(Path.cwd()))])
    assert theory("--method", "here_only:mine") == 0
    monkeypatch.delitem(sys.modules, "here_only")


# --- the report -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would show and load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def written(checks: FakeChecks) -> Iterator[SimpleNamespace]:
    """The report of checks with everything that is hard to write."""
    numbers = {"nan": math.nan, "array": np.array([1.0, np.inf]), "pair": (np.float32(1.5), np.int64(2)), 3: {True}}
    checks["first"] += [finding(statement=NASTY, measured=NASTY, rule=NASTY, numbers=numbers), picture(caption=NASTY)]
    checks["second"] += [picture("first-one"), picture("../over there"), finding(False, statement="seen <not>")]
    assert theory("--markdown", "docs/theory.md") == 1
    folder = Path("runs/theory")
    yield SimpleNamespace(
        folder=folder,
        html=(folder / "report.html").read_text("utf-8"),
        markdown=(folder / "report.md").read_text("utf-8"),
        document=Path("docs/theory.md").read_text("utf-8"),
        data=data(),
    )


def test_json_has_every_number(written: SimpleNamespace) -> None:
    assert {"python", "numpy", "optkit"} <= set(written.data["versions"])
    assert written.data["cores"] >= 1
    assert set(written.data["settings"]) >= {"seeds", "steps", "workers", "smoke", "method", "regularizer", "data"}
    first, second = written.data["checks"]
    assert first["seconds"] >= 0 and (first["verdict"], second["verdict"]) == ("ok", "FAILED")
    keys = {"check", "statement", "rule", "control", "holds", "passed", "measured", "numbers", "verdict"}
    assert all(set(finding) == keys for finding in [*first["findings"], *second["findings"]])
    nasty = first["findings"][2]
    assert (nasty["statement"], nasty["measured"], nasty["rule"]) == (NASTY, NASTY, NASTY)
    assert nasty["numbers"] == {"nan": "nan", "array": [1.0, "inf"], "pair": [1.5, 2], "3": [True]}
    assert math.isnan(float(nasty["numbers"]["nan"]))


@pytest.mark.parametrize(
    "value", [L1(0.5), {1, 2}, range(2), np.bool_(True), object(), -math.inf, {"a": np.zeros((2, 1))}]
)
def test_anything_becomes_plain_data(value: Any) -> None:
    json.dumps(plain(value), allow_nan=False)


def test_html_needs_no_other_file_and_shows_every_finding(written: SimpleNamespace) -> None:
    page = Page(written.html)
    assert "script" not in page.tags and "link" not in page.tags and "b" in page.tags
    assert all(loaded.startswith(("data:image/png;base64,", "#")) for loaded in page.loads)
    assert {loaded[1:] for loaded in page.loads if loaded[0] == "#"} == set(page.ids) == {"first", "second"}
    assert sum(loaded.startswith("data:") for loaded in page.loads) == 3
    assert "url(" not in written.html and "@import" not in written.html
    words = "".join(page.words)
    for check in written.data["checks"]:
        assert check["title"] in words
        for item in check["findings"]:
            assert all(item[key] in words for key in ("verdict", "statement", "measured", "rule"))
    assert "Theorem 9: a <b>bold</b> statement." in words
    assert "1 of 5 findings did not come out as they must." in words


def test_markdown_says_the_same_and_its_figures_are_there(written: SimpleNamespace) -> None:
    assert written.markdown.startswith(MARK)
    for text, folder in ((written.markdown, written.folder), (written.document, Path("docs"))):
        links = re.findall(r"!\[.*\]\((.*)\)$", text, re.MULTILINE)
        assert len(links) == len(set(links)) == 3
        assert all((folder / link).read_bytes().startswith(b"\x89PNG") for link in links)
    assert "](figures/theory/first-one.png)" in written.document


def test_markdown_reads_as_it_was_written(written: SimpleNamespace) -> None:
    reader = pytest.importorskip("markdown_it", reason="reads Markdown").MarkdownIt("commonmark").enable("table")
    page = Page(reader.render(written.markdown))
    words = "".join(page.words)
    for check in written.data["checks"]:
        assert all(item[key] in words for item in check["findings"] for key in ("statement", "measured", "rule"))
    assert "script" not in page.tags and "b" not in page.tags
    for text in (NASTY, "- a", "1. b", "# c", "1.5 s", "[0.9, 1.1]", "[a]: b", "a < b > c &amp; **d** __e__ \\", "> f"):
        assert "".join(Page(reader.render(markdown_text(text))).words).rstrip("\n") == text


def test_a_second_report_replaces_the_first_and_its_figures(checks: FakeChecks, written: SimpleNamespace) -> None:
    before = {path.name for path in Path("docs/figures/theory").iterdir()}
    assert theory("first", "--markdown", "docs/theory.md") == 0
    assert len(before) == 3
    for folder in (Path("runs/theory/figures"), Path("docs/figures/theory")):
        assert [path.name for path in folder.iterdir()] == ["first-one.png"]


def test_both_reports_may_lie_in_one_folder_new_or_not(checks: FakeChecks) -> None:
    for _ in range(2):
        assert theory("--out", "deep/down", "--markdown", "deep/down/theory.md") == 0
    assert sorted(path.name for path in Path("deep/down").iterdir()) == [
        "report.html",
        "report.md",
        "results.json",
        "theory.md",
    ]
    checks["first"].append(picture())
    for _ in range(2):
        assert theory("--out", "deep/down", "--markdown", "deep/down/theory.md") == 0


def test_figures_that_no_report_names_are_not_ours(written: SimpleNamespace, capsys: Any) -> None:
    (written.folder / "figures" / "photo.png").write_bytes(b"mine")
    assert theory() == 2
    assert "holds files that are no earlier report: figures/photo.png" in capsys.readouterr().err


def test_docstrings_become_blocks() -> None:
    paragraph, assumptions, bullets, display, numbered = blocks(DOCSTRING)
    assert paragraph == Paragraph("Theorem 9: a <b>bold</b> statement.")
    assert assumptions == Paragraph("Assumptions, and how they are met:")
    assert bullets == Bullets(("one that goes on, with `code|bar`;", "another."))
    assert display == Display("Q(w) - min Q <= (1 - 1/kappa)^k")
    assert numbered == Bullets(("first", "second"), numbered=True)
    assert list(blocks("")) == []


@pytest.mark.parametrize(
    ("text", "first", "rest"),
    [
        ("Rule: every seed: all", "Rule:", " every seed: all"),
        ("Statement. If a, b.", "Statement.", " If a, b."),
        ("**Controls.** None: no", "Controls.", " None: no"),
        ("If a, then b. Or c: d", "", "If a, then b. Or c: d"),
        ("f(w) = w: yes", "", "f(w) = w: yes"),
    ],
)
def test_the_first_words_of_a_paragraph_are_its_label(text: str, first: str, rest: str) -> None:
    assert label(text) == (first, rest)
