"""Tables of numbers, and their Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

NOTHING = "–"


class Column(NamedTuple):
    """title: with the unit;  form: how Python formats the numbers;  unit: behind each number."""

    title: str
    form: str = ""
    unit: str = ""

    def text(self, value: Any) -> str:
        """A cell. Strings stand as they are, and None is a dash."""
        if value is None or isinstance(value, str):
            return value or NOTHING
        return format(value, self.form) + self.unit


@dataclass(frozen=True)
class Table:
    """title;  text: what is measured, and how;  rows: a value for each column."""

    title: str
    text: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]

    def markdown(self) -> str:
        """As a section of a page."""
        lines = [[column.title for column in self.columns], ["---"] + ["---:"] * (len(self.columns) - 1)]
        lines += [[c.text(value) for c, value in zip(self.columns, row, strict=True)] for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        body = ["| " + " | ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)) + " |" for line in lines]
        return "\n".join([f"## {self.title}\n", *([f"{self.text.strip()}\n"] if self.text else []), *body])

    def column(self, title: str) -> list[Any]:
        """The values under a title."""
        i = [column.title for column in self.columns].index(title)
        return [row[i] for row in self.rows]
