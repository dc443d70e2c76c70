"""In which fields runs differ: a column for each run, which stays as one looks at it."""

# pyright: reportUnknownMemberType=false
# Textual leaves open what its own `app` is.

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.message import Message
from textual.widgets import DataTable

from rlmaster.reports.comparison import Comparison
from tui.words.compare_text import row_label, state_words, value_words
from tui.words.plain_text import one_line

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

    def show(self, comparison: Comparison) -> None:
        """Show these runs; what stays as it is stays where it is."""
        rows = _rows(comparison)
        columns = {FIELD: [FIELD, *map(one_line, rows)]}
        for number, run in enumerate(comparison.rows):
            cells = [values[number] for values in rows.values()]
            columns[run.path] = [row_label(run, number), *cells]
        if not self._has_room(columns, rows):
            self._fill(columns, rows)
            return
        for path, (_, *cells) in columns.items():
            for field, cell in zip(rows, cells, strict=True):
                if self.get_cell(field, path).plain != cell:
                    self.update_cell(field, path, Text(cell))

    def _has_room(self, columns: Mapping[str, Sequence[str]], fields: Iterable[str]) -> bool:
        """Tell whether it has these columns and rows, wide enough for what they say now."""
        widths = {key.value: column.content_width for key, column in self.columns.items()}
        return (
            list(widths) == list(columns)
            and [key.value for key in self.rows] == list(fields)
            and all(_width(texts) <= widths[key] for key, texts in columns.items())
        )

    def _fill(self, columns: Mapping[str, Sequence[str]], fields: Iterable[str]) -> None:
        chosen = max(1, self.cursor_column)
        self.clear(columns=True)
        for key, texts in columns.items():
            added = self.add_column(Text(texts[0]), key=key)
            # By itself it measures its cells later, and keeps what it has drawn until then.
            self.columns[added].content_width = _width(texts)
        for number, field in enumerate(fields, start=1):
            style = "dim" if field in (STATE, RESULT) else ""
            name, *cells = (texts[number] for texts in columns.values())
            self.add_row(Text(name, style), *map(Text, cells), key=field)
        self.move_cursor(column=chosen)

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


def _width(texts: Iterable[str]) -> int:
    return max(map(cell_len, texts))


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
