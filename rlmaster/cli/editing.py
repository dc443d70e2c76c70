"""Text that a person gives with an option, in a file, or in their editor."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rlmaster.cli.terminal import say
from rlmaster.errors import UsageError


def given_text(
    text: str | None, file: Path | None, *, what: str, options: tuple[str, str]
) -> str | None:
    """Return the text that options give, or None where they give none.

    Args:
        text: What was given as it is.
        file: Where it is written; `-` is stdin.
        what: What the text is, for messages: a rationale, a conclusion.
        options: The names of the two options.

    Raises:
        UsageError: If both are given, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise UsageError(f"give {options[0]} or {options[1]}, not both")
    if file is None:
        return text
    try:
        words = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return words.decode()
    except UnicodeDecodeError:
        why = "it is not text in UTF-8; save it as such"
    except OSError as error:
        why = error.strerror or str(error)
    raise UsageError(f"the {what} in {file} cannot be read ({why})")


@contextmanager
def edited(text: str, *, what: str) -> Generator[str]:
    """Let a person change a text in their editor, and give what they made of it.

    Where the block that keeps it fails, the words stay in their file, and where that is is said.

    Args:
        text: What the editor shows at first.
        what: What it is, for the file's name.

    Raises:
        UsageError: If the editor cannot be used, or says with its exit code that nothing counts.
    """
    shown = text.encode(errors="surrogateescape")
    handle, name = tempfile.mkstemp(suffix=".md", prefix=f"{what}-")
    file = Path(name)
    with os.fdopen(handle, "wb") as stream:
        stream.write(shown)
    try:
        _run_editor(file)
        yield file.read_bytes().decode(errors="replace")
    except BaseException:
        if file.read_bytes().strip() not in (b"", shown.strip()):
            say(f"what you wrote is still in {file}")
        else:
            file.unlink()
        raise
    file.unlink()


def _run_editor(file: Path) -> None:
    try:
        editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        code = subprocess.run([*editor, str(file)], check=False).returncode
    except OSError as error:
        raise _unusable(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise _unusable(str(error)) from error
    if code:
        raise UsageError(f"the editor ended with {code}, so nothing was changed")


def _unusable(why: str) -> UsageError:
    return UsageError(f"the editor could not be used ({why}); set EDITOR to one that is installed")
