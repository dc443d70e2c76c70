"""What screens on which something can be done with runs share: the key that asks what."""

from textual.binding import Binding

ACTIONS_KEY = Binding("a", "choose_action", "Actions")
"""A screen that lists it answers with a `ChooseAction` about the runs that are meant."""
