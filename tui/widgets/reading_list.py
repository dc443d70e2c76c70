"""A list in which one points at entries to learn more of them."""

from tui.widgets.choice_list import ChoiceList


class ReadingList(ChoiceList):
    """Entries of which none is chosen: `enter` has nothing to do here."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer no choice."""
        return action != "select"
