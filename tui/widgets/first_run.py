"""What stands in the place of a list that is empty yet."""

from textual.content import Content
from textual.widgets import Static

WORDS = (
    Content.styled("There are no runs yet.", "bold"),
    Content(
        "RLmaster trains agents and the representations they see, and remembers what came of it. "
        "A run is one experiment, trained once. You pick an experiment, write a few words on why "
        "you run it, and pick a computer; RLmaster keeps the rest: the code, the settings, the "
        "curves, the pictures and a report."
    ),
    Content.assemble(
        ("n", "bold $text-accent"), "  starts the first run, step by step\n",
        ("h", "bold $text-accent"), "  shows the computers that runs may use\n",
        ("?", "bold $text-accent"), "  lists the keys, here and everywhere",
    ),
)  # fmt: skip


class FirstRun(Static):
    """Says what the program does and which key begins."""

    def __init__(self, id: str) -> None:  # noqa: A002  Textual's word
        """Say it."""
        super().__init__(Content("\n\n").join(WORDS), id=id)
