"""What screens on which something can be done with runs share: the key that asks what."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from textual.binding import Binding

ACTIONS_KEY = Binding("a", "choose_action", "Actions")
"""A screen that lists it answers with a `ChooseAction` about the runs that are meant."""
TEXTUALS_OWN = frozenset({"app.focus_next", "app.focus_previous", "screen.copy_text", "help_quit"})
"""Actions that Textual gives a key on every screen."""


@runtime_checkable
class ActsOnRuns(Protocol):
    """A screen that can say which runs are meant, so that the palette offers what suits them."""

    def runs_at_hand(self) -> Sequence[Path]:
        """Return the folders of the runs that are selected, or else under the cursor."""
        ...
