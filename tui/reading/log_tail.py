"""The end of a log that grows."""

from pathlib import Path

from tui.words.plain_text import log_line

LOG_TAIL_BYTES = 500_000
"""What is read of a log at most at a time; older lines are passed over."""
PASSED_OVER = "… what was printed before stands in log.txt"


class LogTail:
    """Follows a log that grows."""

    def __init__(self, path: Path) -> None:
        """Begin with the last of what is there."""
        self._path = path
        self._offset = 0
        self._size = 0

    def new_lines(self) -> list[str]:
        """Return the lines that are new; of very many, the last.

        The last line is waited for until it ends, or nothing more is written for a while.
        """
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return []
        is_at_rest, self._size = size == self._size, size
        if size == self._offset:
            return []
        if size < self._offset:
            self._offset = 0
        start = max(self._offset, size - LOG_TAIL_BYTES)
        with self._path.open("rb") as file:
            file.seek(start)
            content = file.read(LOG_TAIL_BYTES)
        end = len(content) if is_at_rest else content.rfind(b"\n") + 1
        if not end:
            return []
        self._offset, was_cut = start + end, start > self._offset
        lines = content[:end].removesuffix(b"\n").decode(errors="replace").split("\n")
        return [PASSED_OVER] * was_cut + [log_line(line) for line in lines[was_cut:]]
