"""A list to choose from, whose entries may change while one looks at it."""

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option


class ChoiceList(OptionList):
    """Entries under stable keys; the highlight stays on its key when others come, go or change."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "Choose")]

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Begin without entries."""
        super().__init__(id=id, markup=False)
        self._keys: list[str] = []

    @property
    def chosen(self) -> str | None:
        """Key of the highlighted entry."""
        return None if self.highlighted is None else self._keys[self.highlighted]

    def show(self, choices: Mapping[str, Content], preferred: str | None = None) -> None:
        """Show these entries; where nothing is highlighted yet, highlight the preferred one."""
        wanted = self.chosen or preferred
        if list(choices) == self._keys:
            for index, prompt in enumerate(choices.values()):
                self.replace_option_prompt_at_index(index, prompt)
            return
        self._keys = list(choices)
        self.set_options([Option(prompt) for prompt in choices.values()])
        if self._keys:
            self.highlighted = self._keys.index(wanted) if wanted in self._keys else 0
