"""What is told all the time, by commands that run as long as the app and answer line by line."""

import threading
from collections.abc import Callable, Sequence

from tui.children.commands import CommandCancelledError, CommandError, CommandLine, JsonObject

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
"""A command that ends at once, again and again, is started less and less often."""


def feed(
    command: CommandLine,
    arguments: Sequence[str],
    cancelled: threading.Event,
    on_object: Callable[[JsonObject], None],
) -> None:
    """Keep a command running in the calling thread until that is cancelled.

    Args:
        command: How to run the command line.
        arguments: What comes after `rlmaster`; it answers with a JSON object a line.
        cancelled: Ends it.
        on_object: Takes each object, in the calling thread.
    """
    pause_s = FIRST_PAUSE_S

    def take(found: JsonObject) -> None:
        nonlocal pause_s
        pause_s = FIRST_PAUSE_S
        on_object(found)

    while not cancelled.is_set():
        try:
            command.stream(arguments, cancelled, take)
        except CommandCancelledError:
            return
        except CommandError:  # what it would have told is missing; it is tried again
            pass
        cancelled.wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
