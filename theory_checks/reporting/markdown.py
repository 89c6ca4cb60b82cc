"""The report in Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from optkit.theory_checks.running import CheckResult, Results

from .prose import Bullets, Display, blocks, label, spans
from .summary import HOW_TO_READ, TITLE, conditions, duration, headline, kind, pictures, share, verdict

MARK = "<!-- Written by `optkit theory`; changes made here are lost. -->"
"""The first line of every report, by which it is known."""

# A character that can not be read as markup stays as it is, so that V_t/alpha_t and a * b can be read in the source.
_SPECIAL = re.compile(r"[\\`|$~]|^\[|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|\*(?! )|(?<! )\*|<(?=[\w/!?])|&(?=[\w#])")
_BAR = re.compile(r"(?<!\\)\|")
_AT_START = re.compile(r"^(?=#+ |[>=]|[+-](?: |$)|---)|^(\d+)(?=[.)](?: |$))")


def report(results: Results, folder: str) -> str:
    """The whole report; the figures lie in the folder, a path from where the report will lie."""
    files = pictures(results)
    checks = [_check(check, [f"{folder}/{name}" for name in files.get(check.name, [])]) for check in results.checks]
    facts = "\n".join(f"- {name}: {text(value)}" for name, value in conditions(results))
    rows = [
        (
            verdict(c),
            f"[{text(c.title)}](#{c.name})",
            share(c, control=False),
            share(c, control=True),
            duration(c.seconds),
        )
        for c in results.checks
    ]
    summary = _table(("verdict", "check", "claims", "controls", "time"), rows)
    parts = [MARK, f"# {TITLE}", f"**{text(headline(results))}**", summary, text(HOW_TO_READ), facts, *checks]
    return "\n\n".join(parts) + "\n"


def _check(check: CheckResult, files: Sequence[str]) -> str:
    findings = [
        (f.verdict if f.passed else f"**{f.verdict}**", kind(f), *map(text, (f.statement, f.measured, f.rule)))
        for f in check.findings
    ]
    figures = [
        f"![{text(picture.caption)}]({file})\n\n*{text(picture.caption)}*"
        for picture, file in zip(check.pictures, files, strict=True)
    ]
    title = f'<a id="{check.name}"></a>\n\n## {text(check.title)}'
    table = [_table(("verdict", "kind", "statement", "measured", "rule"), findings)] if findings else []
    return "\n\n".join([title, *map(_block, blocks(check.text)), *table, *figures])


def _block(block: object) -> str:
    if isinstance(block, Bullets):
        marks = [f"{i}." if block.numbered else "-" for i in range(1, len(block.items) + 1)]
        return "\n".join(f"{mark} {_labelled(item)}" for mark, item in zip(marks, block.items, strict=True))
    if isinstance(block, Display):
        return f"```text\n{block.text}\n```"
    return _labelled(getattr(block, "text", ""))


def _labelled(paragraph: str) -> str:
    first, rest = label(paragraph)
    return f"**{text(first)}** {text(rest)}".rstrip() if first else text(rest)


def text(words: str) -> str:
    """The words as they are, in Markdown: on one line, nothing in them read as markup but code between backquotes."""
    pieces = [f"`{piece}`" if code else _escaped(piece) for piece, code in spans(" ".join(words.split()))]
    return _AT_START.sub(lambda match: (match[1] or "") + "\\", "".join(pieces))


def _escaped(words: str) -> str:
    return _SPECIAL.sub(lambda match: "\\" + match[0], words)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells in Markdown; a bar is escaped in code, too, where tables ask for it."""
    lines = [header, ["---"] * len(header), *([_BAR.sub(r"\\|", cell) for cell in cells] for cells in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
