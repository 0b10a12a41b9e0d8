"""Tables of the comparison on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.evaluation.table import TextTable, difference_table, result_table

__all__ = ["print_document"]


def print_document(document: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the tables of table.json, and under them what a reader must know; texts are never read as markup."""
    console = console or Console(highlight=False, soft_wrap=True)
    for text in (result_table(document), difference_table(document)):
        if text.rows:
            console.print(_rich_table(text), soft_wrap=False)
    for note in document.get("notes", []):
        console.print(f"note: {note}", markup=False)


def _rich_table(text: TextTable) -> Table:
    table = Table(title=Text(text.title), title_justify="left", box=box.SIMPLE)
    for position, header in enumerate(text.headers):
        table.add_column(Text(header), justify="left" if position == 0 else "right")
    for row in text.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
