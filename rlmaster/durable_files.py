"""Files that a crash cannot tear: replaced whole, or appended line by line."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

JsonObject = dict[str, Any]


def utc_now() -> str:
    """Return the present time as ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_atomically(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Replace a file so that a reader sees the old content or the new, never a part.

    Args:
        path: The file; its folder must exist.
        content: What it shall hold; text is written as UTF-8.
        durable: Whether it must also survive a power cut (costs an fsync).
    """
    content = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    # As for any other file, the umask decides who may read it.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were created or renamed in a folder survive a power cut."""
    _sync(folder)


def sync_tree(folder: Path) -> None:
    """Make everything in a folder that was just filled survive a power cut."""
    with ThreadPoolExecutor(4) as pool:  # the file system then writes several with one commit
        list(pool.map(_sync, [folder, *folder.rglob("*")]))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that nobody changes in place a second name; across disks, copy it.

    Raises:
        OSError: If neither can be done.
    """
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def write_json(path: Path, data: Mapping[str, Any], *, durable: bool = False) -> None:
    """Replace a JSON file atomically."""
    write_atomically(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n", durable=durable)


def read_json(path: Path) -> JsonObject | None:
    """Return a JSON file's object, or None where there is no such file or object."""
    try:
        return parse_object(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def parse_object(content: bytes) -> JsonObject | None:
    """Return the JSON object that some bytes hold, or None where they hold none.

    They may be torn, or made to do harm.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return cast("JsonObject", data) if isinstance(data, dict) else None


def signature(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file's content from an earlier one, or None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def append_line(path: Path, data: Mapping[str, Any], *, durable: bool = False) -> None:
    """Append one JSON line; a half line that a crash left behind is closed off first.

    Args:
        path: The stream; its folder must exist.
        data: What the line shall hold.
        durable: Whether it must also survive a power cut (costs an fsync).
    """
    line = json.dumps(data, ensure_ascii=False).encode() + b"\n"
    with path.open("ab+") as file:
        if file.tell() and not _ends_with_newline(file.fileno(), file.tell()):
            line = b"\n" + line
        file.write(line)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _ends_with_newline(handle: int, size: int) -> bool:
    return os.pread(handle, 1, size - 1) == b"\n"


def read_lines(path: Path, offset: int = 0) -> tuple[list[JsonObject], int]:
    """Read the whole JSON lines from a byte offset on, and where to read on.

    A last line without its newline is left for the next call; a line that is not a JSON object
    (torn by a crash) is passed over.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole, newline, _ = content.rpartition(b"\n")
    objects = [data for line in whole.splitlines() if (data := parse_object(line)) is not None]
    return objects, offset + len(whole) + len(newline)
