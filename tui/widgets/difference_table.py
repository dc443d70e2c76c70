"""In which fields runs differ: a column for each run, which stays as one looks at it."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import on
from textual.message import Message
from textual.widgets import DataTable

from rlmaster.reports.comparison import Comparison
from tui.compare_text import row_label, state_words, value_words
from tui.plain_text import one_line

FIELD = "field"
STATE, RESULT = "(state)", "(result)"
"""Rows above the fields, named as no field is."""
LONGEST_VALUE = 40


class DifferenceTable(DataTable[Text]):
    """Shows how runs stand and in what they differ; single cells change as the runs go on."""

    @dataclass
    class Chosen(Message):
        """The person chose a run."""

        path: str
        """Its folder, relative to that of all runs."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without runs."""
        super().__init__(id=id, fixed_columns=1, cursor_type="column", zebra_stripes=True)
        self._columns: list[str] = []
        self._fields: list[str] = []

    def show(self, comparison: Comparison) -> None:
        """Show these runs."""
        rows = _rows(comparison)
        columns = [row.path for row in comparison.rows]
        if (columns, list(rows)) != (self._columns, self._fields):
            self._fill(comparison, rows)
            self._columns, self._fields = columns, list(rows)
            return
        for field, cells in rows.items():
            for column, cell in zip(columns, cells, strict=True):
                if self.get_cell(field, column).plain != cell:
                    self.update_cell(field, column, Text(cell))

    def _fill(self, comparison: Comparison, rows: Mapping[str, Sequence[str]]) -> None:
        self.clear(columns=True)
        self.add_column(Text(FIELD), key=FIELD)
        for number, row in enumerate(comparison.rows):
            self.add_column(Text(row_label(row, number)), key=row.path)
        for field, cells in rows.items():
            style = "dim" if field in (STATE, RESULT) else ""
            self.add_row(Text(one_line(field), style), *map(Text, cells), key=field)
        self.move_cursor(column=1)

    @on(DataTable.ColumnSelected)
    @on(DataTable.HeaderSelected)
    def choose(self, event: DataTable.ColumnSelected | DataTable.HeaderSelected) -> None:
        """Choose the run of a column."""
        event.stop()
        if event.column_key.value not in (None, FIELD):
            self.post_message(self.Chosen(event.column_key.value))


def _rows(comparison: Comparison) -> dict[str, list[str]]:
    """Return the cells of each row by its field."""
    rows = {
        STATE: [state_words(row) for row in comparison.rows],
        RESULT: [value_words(row) for row in comparison.rows],
    }
    for difference in comparison.differences:
        values = [_short(one_line(value)) or "–" for value in difference.values]
        rows[difference.field] = values
    return rows


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
