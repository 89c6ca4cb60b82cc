"""Docstrings as blocks of text, for the reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import cleandoc


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Display:
    """Indented lines, kept as they are: formulas."""

    text: str


Block = Paragraph | Bullets | Display

_ITEM = re.compile(r"(?P<mark>[-*]|\d+\.) +(?P<text>.*)")
_LABEL = re.compile(r"\*\*(?P<bold>[^*]+)\*\*|(?:[A-Z]\w*\.|[A-Z][^.:;`*]{1,40}:)(?= |$)")
_CODE = re.compile(r"`([^`]+)`")


def blocks(docstring: str) -> Iterator[Block]:
    """The paragraphs, lists (`-`, `*` or `1.`) and indented formulas of a docstring."""
    for chunk in re.split(r"\n\s*\n", cleandoc(docstring)):
        lines = chunk.splitlines()
        if lines and all(line.startswith("  ") for line in lines):
            yield Display(cleandoc("\n" + chunk))
            continue
        at = next((i for i, line in enumerate(lines) if _ITEM.match(line)), len(lines))
        if at and lines:
            yield Paragraph(" ".join(line.strip() for line in lines[:at]))
        if at < len(lines):
            yield _bullets(lines[at:])


def _bullets(lines: list[str]) -> Bullets:
    items: list[str] = []
    for line in lines:
        match = _ITEM.match(line)
        if match:
            items.append(match["text"])
        else:
            items[-1] += " " + line.strip()
    return Bullets(tuple(items), numbered=lines[0][0].isdigit())


def label(text: str) -> tuple[str, str]:
    """The first words of a paragraph, which reports set in bold, and the rest: up to a colon, one word up to a full
    stop, or what stands between double asterisks. ("Rule:", " every seed") of "Rule: every seed"."""
    match = _LABEL.match(text)
    return (match["bold"] or match[0], text[match.end() :]) if match else ("", text)


def spans(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether each is code: what stood between backquotes."""
    for i, piece in enumerate(_CODE.split(text)):
        if piece:
            yield piece, i % 2 == 1
