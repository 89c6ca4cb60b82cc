"""The report as one HTML file that needs no other: figures inside, light and dark, wide and narrow."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

from optkit.theory_checks.findings import Finding, Picture
from optkit.theory_checks.running import CheckResult, Results

from .prose import Bullets, Display, blocks, label, spans
from .summary import HOW_TO_READ, TITLE, conditions, duration, headline, kind, pictures, share, verdict

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def report(results: Results, images: Mapping[str, bytes]) -> str:
    """The whole page; `images` has the PNG of each file of `summary.pictures`."""
    names = pictures(results)
    sections = [_section(check, [images[name] for name in names.get(check.name, [])]) for check in results.checks]
    title, style = escape(TITLE), files("optkit.theory_checks.reporting").joinpath("page.css").read_text("utf-8")
    return PAGE.format(title=title, style=style, body="\n".join([_top(results), *sections]))


def _top(results: Results) -> str:
    state = "good" if results.passed else "bad"
    facts = "".join(f"<div><dt>{escape(name)}</dt><dd>{text(value)}</dd></div>" for name, value in conditions(results))
    rows = [
        (
            _pill(verdict(check), check.passed),
            f'<a href="#{escape(check.name)}">{text(check.title)}</a>',
            share(check, control=False),
            share(check, control=True),
            duration(check.seconds),
        )
        for check in results.checks
    ]
    return "\n".join(
        [
            f"<header><h1>{escape(TITLE)}</h1>",
            f'<p class="headline {state}">{escape(headline(results))}</p>{_failures(results.findings)}</header>',
            _table("summary", ("verdict", "check", "claims", "controls", "time"), rows),
            f'<p class="note">{text(HOW_TO_READ)}</p>',
            f'<dl class="facts">{facts}</dl>',
        ]
    )


def _failures(findings: Sequence[Finding]) -> str:
    """What did not come out as it must, at the top of the page."""
    items = [
        f'<li><a href="#{escape(f.check)}">{escape(f.check)}</a>: {text(f.statement)}: {text(f.measured)}</li>'
        for f in findings
        if not f.passed
    ]
    return f'<ul class="failures">{"".join(items)}</ul>' if items else ""


def _section(check: CheckResult, images: Sequence[bytes]) -> str:
    rows = [
        (_pill(f.verdict, f.passed), kind(f), f"<strong>{text(f.statement)}</strong>", text(f.measured), text(f.rule))
        for f in check.findings
    ]
    return "\n".join(
        [
            f'<section id="{escape(check.name)}">',
            f"<h2>{text(check.title)}</h2>",
            f'<p class="name">{escape(check.name)}, {duration(check.seconds)}</p>',
            '<div class="prose">',
            *map(_block, blocks(check.text)),
            "</div>",
            _table("findings", ("verdict", "kind", "statement", "measured", "rule"), rows) if rows else "",
            f'<div class="figures">{"".join(map(_figure, check.pictures, images))}</div>',
            "</section>",
        ]
    )


def _figure(picture: Picture, image: bytes) -> str:
    source = "data:image/png;base64," + base64.b64encode(image).decode("ascii")
    caption = text(picture.caption)
    return f'<figure><img src="{source}" alt="{escape(picture.caption)}"><figcaption>{caption}</figcaption></figure>'


def _block(block: object) -> str:
    if isinstance(block, Bullets):
        tag = "ol" if block.numbered else "ul"
        return f"<{tag}>{''.join(f'<li>{_labelled(item)}</li>' for item in block.items)}</{tag}>"
    if isinstance(block, Display):
        return f"<pre>{escape(block.text)}</pre>"
    return f"<p>{_labelled(getattr(block, 'text', ''))}</p>"


def _labelled(paragraph: str) -> str:
    first, rest = label(paragraph)
    return (f"<b>{text(first)}</b>" if first else "") + text(rest)


def text(words: str) -> str:
    """The words with everything escaped; what stands between backquotes as code."""
    return "".join(f"<code>{escape(piece)}</code>" if code else escape(piece) for piece, code in spans(words))


def _pill(words: str, passed: bool) -> str:
    return f'<span class="pill {"good" if passed else "bad"}">{escape(words)}</span>'


def _table(kind: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells in HTML; each has its column's name, which narrow screens show in the place of the header."""
    head = "".join(f'<th scope="col">{name}</th>' for name in header)
    body = "\n".join(f"<tr>{''.join(map(_cell, header, row))}</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'


def _cell(name: str, cell: str) -> str:
    return f'<td data-name="{name}">{cell}</td>'
