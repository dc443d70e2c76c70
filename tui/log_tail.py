"""The end of a log that grows."""

from pathlib import Path

from tui.plain_text import log_line

LOG_TAIL_BYTES = 128_000
"""What is read of a log at most at a time; older lines are passed over."""


class LogTail:
    """Follows a log that grows."""

    def __init__(self, path: Path) -> None:
        """Begin with the last of what is there."""
        self._path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        """Return the whole lines that are new; of very many, the last."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        if size < self._offset:
            self._offset = 0
        start = max(self._offset, size - LOG_TAIL_BYTES)
        with self._path.open("rb") as file:
            file.seek(start)
            content = file.read(LOG_TAIL_BYTES)
        whole, newline, _ = content.rpartition(b"\n")
        if not newline:
            return []
        self._offset, was_cut = start + len(whole) + 1, start > self._offset
        lines = whole.decode(errors="replace").split("\n")
        return [log_line(line) for line in lines[was_cut:]]
