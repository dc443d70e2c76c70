"""Files inside a folder, written so that no link leads the writing out of it.

Their names come from another computer. Each folder on the way is opened by itself, and one that is
a link is refused, whoever put it there.
"""

import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe must not keep anybody waiting."""
ALLOWED = 0o666
"""As for any other file, the umask decides who may read it."""


@contextmanager
def _folder_of(base: Path, path: str, *, make: bool) -> Generator[tuple[int, str]]:
    """Give the open folder of a file, and the file's name in it."""
    *folders, name = path.split("/")
    handle = os.open(base, FOLDER & ~os.O_NOFOLLOW)
    try:
        for folder in folders:
            inner = _open_folder(handle, folder, make)
            os.close(handle)
            handle = inner
        yield handle, name
    finally:
        os.close(handle)


def _open_folder(outer: int, name: str, make: bool) -> int:
    try:
        return os.open(name, FOLDER, dir_fd=outer)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=outer)
    return os.open(name, FOLDER, dir_fd=outer)


def open_file(base: Path, path: str, flags: int) -> int:
    """Open a regular file inside a folder; with O_CREAT, folders on the way are made too.

    Args:
        base: The folder, which is trusted.
        path: The file in it, with `/`; no part of it may be `..`.
        flags: As those of `os.open`.

    Raises:
        OSError: If it cannot be opened, or is a link or no file.
    """
    with _folder_of(base, path, make=bool(flags & os.O_CREAT)) as (folder, name):
        handle = os.open(name, flags | FILE, ALLOWED, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(f"{base / path} is no file")
    return handle


def append_at(base: Path, path: str, offset: int, content: bytes) -> bool:
    """Append to a file if it has just the given size, or is begun anew with offset 0.

    Returns:
        Whether it had that size; if not, nothing was written.

    Raises:
        OSError: If it cannot be written.
    """
    beginning = os.O_TRUNC if offset == 0 else 0
    handle = open_file(base, path, os.O_WRONLY | os.O_CREAT | beginning)
    try:
        if os.fstat(handle).st_size != offset:
            return False
        write_at(handle, offset, content)
        return True
    finally:
        os.close(handle)


def overwrite(base: Path, path: str, content: bytes) -> None:
    """Write the beginning of a file in place, which others may have open.

    Raises:
        OSError: If it cannot be written.
    """
    handle = open_file(base, path, os.O_WRONLY | os.O_CREAT)
    try:
        write_at(handle, 0, content)
    finally:
        os.close(handle)


def write_at(handle: int, offset: int, content: bytes) -> None:
    """Write all of some bytes at a place."""
    left = memoryview(content)
    while left:
        written = os.pwrite(handle, left, offset)
        offset, left = offset + written, left[written:]


def replace_file(base: Path, path: str, content: bytes) -> None:
    """Replace a file so that a reader sees the old content or the new, never a part.

    Raises:
        OSError: If it cannot be written.
    """
    with _folder_of(base, path, make=True) as (folder, name):
        temporary = f".{name}.{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FILE
        handle = os.open(temporary, flags, ALLOWED, dir_fd=folder)
        try:
            try:
                write_at(handle, 0, content)
            finally:
                os.close(handle)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise


def rename_file(base: Path, path: str, new_name: str) -> None:
    """Give a file another name in its folder, in place of one that has that name.

    Raises:
        OSError: If that cannot be done.
    """
    with _folder_of(base, path, make=False) as (folder, name):
        os.replace(name, new_name, src_dir_fd=folder, dst_dir_fd=folder)


def remove_file(base: Path, path: str) -> None:
    """Remove a file.

    Raises:
        OSError: If that cannot be done.
    """
    with _folder_of(base, path, make=False) as (folder, name):
        os.unlink(name, dir_fd=folder)
