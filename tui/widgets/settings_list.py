"""The rows of a form, of which only those one sees are drawn; values are typed where they stand.

Keys are handled here in the order in which they come: over a slow line several may come at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import actions, events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.drafts.form import Form, FormField
from tui.drafts.line_edit import LineEdit
from tui.widgets.settings_row import Columns, colour_part, marks
from tui.words.plain_text import fit

BEGINS_A_VALUE = frozenset('0123456789.-["')
"""What typed on a row begins a new value; letters are keys."""
FAR = 1_000_000


class SettingsList(ScrollView, can_focus=True):
    """Fields one below the other, under the names of their parts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "edit", "Edit"),
        Binding("space,right", "cycle(1)", "Other value", key_display="space"),
        Binding("left", "cycle(-1)", "Other value", show=False),
        Binding("r,delete,backspace", "reset", "Put back", key_display="r"),
        Binding("up,k,shift+tab", "move(-1)", "Up", show=False),
        Binding("down,j,tab", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", f"move(-{FAR})", "First", show=False),
        Binding("end", f"move({FAR})", "Last", show=False),
        Binding("enter", "keep", "Keep"),
        Binding("tab", "keep(1)", "Keep, next"),
        Binding("escape", "drop", "As it was"),
        Binding("slash", "search", "Find", key_display="/"),
        Binding("enter,down,tab", "end_search", "To the fields", key_display="⏎"),
        Binding("escape", "show_all", "All fields"),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"settings-list--{part}"
        for part in ("group", "cursor", "changed", "differs", "wrong", "quiet", "editor")
    }
    ACTIONS_WHILE_TYPING = frozenset({"keep", "drop"})
    ACTIONS_WHILE_SEARCHING = frozenset({"end_search", "show_all"})

    cursor = reactive(0, bindings=True)
    """Which of the fields is meant."""
    is_typing = reactive(False, bindings=True)
    """Whether a value is being typed."""
    is_searching = reactive(False, bindings=True)
    """Whether words are being typed that the shown fields have."""

    class Moved(Message):
        """The cursor is on another field, or what it is on is another now."""

    @dataclass
    class Put(Message):
        """The person gave a field a value."""

        field: FormField
        text: str

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without fields."""
        super().__init__(id=id)
        self._form = Form([], {})
        self._fields: Sequence[FormField] = ()
        self._rows: list[FormField | str] = []
        self._edit = LineEdit.of("")
        self.words = LineEdit.of("")
        """What the shown fields have in their name or help."""

    def show(self, form: Form) -> None:
        """Show the fields that have the words; the cursor stays on its field where it can."""
        before = self.field
        self._form, self._fields = form, form.matching(self.words.text)
        self._rows = []
        group = ""
        for shown in self._fields:
            self._rows += [shown.group] * (shown.group != group)
            self._rows.append(shown)
            group = shown.group
        self.virtual_size = Size(self.size.width, len(self._rows))
        names = [shown.name for shown in self._fields]
        is_there = before is not None and before.name in names
        self.is_typing = self.is_typing and is_there
        self.cursor = names.index(before.name) if before and is_there else 0
        self.refresh_bindings()  # the cursor may mean another field without having moved
        self._tell()

    @property
    def field(self) -> FormField | None:
        """The field under the cursor; None where no field is shown."""
        return self._fields[self.cursor] if self.cursor < len(self._fields) else None

    @property
    def typed(self) -> str | None:
        """What is being typed; None where nothing is."""
        return self._edit.text if self.is_typing else None

    # -------------------------------------------------------------------------------------- moving

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a field."""
        return max(0, min(cursor, len(self._fields) - 1))

    def watch_cursor(self) -> None:
        """Bring the cursor's row into view, the name of its part above it too."""
        row = self._rows.index(self.field) if self.field else 0
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if row < top + 1:
            self.scroll_to(y=max(0, row - 1), animate=False, immediate=True)
        elif row >= top + height:
            self.scroll_to(y=row - height + 1, animate=False, immediate=True)
        self._tell()

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self.watch_cursor()

    def _tell(self) -> None:
        self.refresh()
        self.post_message(self.Moved())

    def action_move(self, fields: int) -> None:
        """Move the cursor."""
        self.cursor += fields

    def go_to(self, name: str) -> None:
        """Move the cursor to a field, if there is one of that name; a search for others ends."""
        if not any(shown.name == name for shown in self._fields):
            self.action_show_all()
        names = [shown.name for shown in self._fields]
        self.cursor = names.index(name) if name in names else self.cursor

    def action_page(self, pages: int) -> None:
        """Move the cursor by what one sees."""
        self.cursor += pages * max(1, self.size.height - 1)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row; change the field that it is already on."""
        row = self.scroll_offset.y + event.y
        clicked = self._rows[row] if row < len(self._rows) else ""
        if isinstance(clicked, str):
            return
        self.is_searching = False
        if clicked is not self.field:
            self.action_keep()
            self.cursor = self._fields.index(clicked)
        elif not self.is_typing:
            self.action_edit()

    # ------------------------------------------------------------------------------------ changing

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what goes with typing while one types, and the rest otherwise."""
        if self.is_searching:
            return action in self.ACTIONS_WHILE_SEARCHING
        if self.is_typing:
            return action in self.ACTIONS_WHILE_TYPING
        if action == "cycle":
            return bool(self.field and self.field.options)
        if action == "show_all":
            return bool(self.words.text)
        return action not in self.ACTIONS_WHILE_TYPING | self.ACTIONS_WHILE_SEARCHING

    def on_key(self, event: events.Key) -> None:
        """Type while one types; otherwise begin a new value, or do what a key stands for."""
        is_free = not (self.is_typing or self.is_searching)
        if self.is_searching and self.words.press(event.key, event.character):
            self.show(self._form)
        elif self.is_typing and self._edit.press(event.key, event.character):
            self._tell()
        elif self.is_typing and event.key in ("up", "shift+tab", "down"):
            self.action_keep(1 if event.key == "down" else -1)
        elif is_free and event.character in BEGINS_A_VALUE:
            self._type(event.character or "")
        elif not self._did(event.key):
            return
        event.stop()
        event.prevent_default()

    def _did(self, key: str) -> bool:
        """Do at once what a key stands for, if it stands for anything here."""
        for binding in self._bindings.key_to_bindings.get(key, ()):
            _, name, parameters = actions.parse(binding.action)
            if self.check_action(name, parameters):
                getattr(self, f"action_{name}")(*parameters)
                return True
        return False

    def on_paste(self, event: events.Paste) -> None:
        """Type what is pasted; it takes the place of the value unless that is being typed."""
        event.stop()
        if self.is_searching:
            self.words.insert(event.text)
            self.show(self._form)
            return
        if not self.is_typing:
            self._type("")
        self._edit.insert(event.text)
        self._tell()

    def on_blur(self) -> None:
        """Keep what was being typed when one goes elsewhere."""
        self.action_keep()

    def _type(self, text: str) -> None:
        if self.field is not None:
            self._edit = LineEdit.of(text)
            self.is_typing = True
            self._tell()

    def action_edit(self) -> None:
        """Begin to type, with the value that is there."""
        if self.field is not None:
            self._type(self._form.text(self.field))

    def action_keep(self, by: int = 0) -> None:
        """End typing, take what was typed, and go on by some fields."""
        if self.is_typing and self.field is not None:
            self.is_typing = False
            self.post_message(self.Put(self.field, self._edit.text))
        self.cursor += by

    def action_drop(self) -> None:
        """End typing, and leave the value as it was."""
        self.is_typing = False
        self._tell()

    def action_cycle(self, by: int) -> None:
        """Take the next or previous of the values that there are."""
        if self.field is not None and (options := self.field.options):
            now = self._form.text(self.field)
            place = options.index(now) + by if now in options else 0
            self.post_message(self.Put(self.field, options[place % len(options)]))

    def action_reset(self) -> None:
        """Take the value again that the experiment has by itself."""
        if self.field is not None:
            self.post_message(self.Put(self.field, self.field.script_text))

    # ------------------------------------------------------------------------------------- finding

    def action_search(self) -> None:
        """Begin to type words."""
        self.is_searching = True
        self._tell()

    def action_end_search(self) -> None:
        """Go to what was found."""
        self.is_searching = False
        self._tell()

    def action_show_all(self) -> None:
        """End the search, and show all fields."""
        self.is_searching, self.words = False, LineEdit.of("")
        self.show(self._form)

    # ------------------------------------------------------------------------------------- drawing

    def render_line(self, y: int) -> Strip:
        """Draw the row that is scrolled there."""
        width, row = self._width, self.scroll_offset.y + y
        base = self.rich_style
        if row >= len(self._rows):
            return Strip.blank(width, base)
        shown = self._rows[row]
        if isinstance(shown, str):
            return Strip([Segment(fit(shown, width), base + self._style("group"))])
        if shown is self.field:
            base += self._style("cursor")
        return Strip(self._cells(shown, base)).adjust_cell_length(width, base)

    def _cells(self, shown: FormField, base: Style) -> list[Segment]:
        form, columns, signs = self._form, self._columns, marks(self._form, shown)
        style = base
        if part := colour_part(signs):
            style += Style(color=self._style(part).color, bold=form.is_changed(shown))
        name = fit(shown.short_name, columns.name)
        begin = [Segment(f"{signs} ", style), Segment(f"{name} ", base)]
        if shown is self.field and self.is_typing:
            return [*begin, *self._editor_cells(columns.value + columns.help)]
        quiet = base + Style(color=self._style("quiet").color)
        value = Segment(f"{fit(form.text(shown), columns.value)} ", style)
        return [*begin, value, Segment(fit(shown.help, columns.help), quiet)]

    def _editor_cells(self, width: int) -> list[Segment]:
        """Draw what is typed, with the cursor as a cell the other way round."""
        style = self._style("editor")
        before, under, behind = self._edit.window(width)
        marked = style + Style(reverse=True)
        return [Segment(before, style), Segment(under, marked), Segment(behind, style)]

    @property
    def _columns(self) -> Columns:
        longest = max((cell_len(shown.short_name) for shown in self._fields), default=0)
        return Columns.for_width(self._width, longest)

    @property
    def _width(self) -> int:
        """Columns beside the scrollbar."""
        return self.scrollable_content_region.width

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"settings-list--{part}")
