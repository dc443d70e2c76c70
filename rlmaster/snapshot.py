"""The code that a run trains with: a copy, named by its content, that no later edit can change."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlmaster.durable_files import sync_folder, sync_tree
from rlmaster.errors import LaunchError
from rlmaster.project import Project

LARGEST_FILE_BYTES = 2 * 2**20
LARGEST_SNAPSHOT_BYTES = 64 * 2**20
LEFT_OUT = frozenset({"hosts.toml"})
"""Where runs may execute is nobody's business on the computer that they execute on."""
NEVER_CODE = frozenset({"runs", "node_modules", "venv", "build", "dist"})
"""Folders that are passed over where no git says what is code."""
DERIVED = "__pycache__"
"""Python makes it anew, with times in it, so the same code would have another digest."""
PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Snapshot:
    """Code as it was at launch."""

    digest: str
    """SHA-256 over every path and content."""
    folder: Path
    """Where the copy lies; it goes first on the import path of the worker and of training."""
    left_out: list[str]
    """What is not taken: large files, submodules, folders passed over, links that lead out."""


def take_snapshot(project: Project) -> Snapshot:
    """Copy the project's code beside the runs, unless the same code is there already.

    Files that git tracks or would track are taken (outside git those in no hidden folder), and the
    `rlmaster` package where it is installed elsewhere.

    Raises:
        LaunchError: If the code is larger than a snapshot may be, or cannot be read or written.
    """
    files, left_out = _select(project)
    if project.root.resolve() / "rlmaster" != PACKAGE:
        files |= _package_files()
    contents = _read(files)
    digest = _digest(contents)
    folder = project.runs / ".snapshots" / digest
    if not _is_there(folder):
        try:
            _write(contents, folder)
        except OSError as error:
            raise LaunchError(f"cannot keep the code of the run ({error})") from error
    return Snapshot(digest, folder, [_shown(name) for name in sorted(left_out)])


@dataclass(frozen=True)
class Tools:
    """The package `rlmaster` that this process runs, for a computer that has none."""

    digest: str
    """SHA-256 over every path and content, as a snapshot has it."""
    contents: dict[str, bytes]
    """Every file by its name."""


@cache
def read_tools() -> Tools:
    """Read the package once, so that all this process sends is of one piece.

    Raises:
        LaunchError: If it cannot be read.
    """
    contents = _read(_package_files())
    return Tools(_digest(contents), contents)


def _package_files() -> dict[str, Path]:
    package = [path for path in _walk(PACKAGE) if path.is_file()]
    return {f"rlmaster/{path.relative_to(PACKAGE)}": path for path in package}


def _is_there(folder: Path) -> bool:
    """Tell whether a snapshot is kept, and mark it as used now, which keeps `rlmaster gc` away.

    It gets its name when it is whole, so being there is enough.
    """
    with suppress(OSError):  # there is none, or it is another account's
        os.utime(folder)
    return folder.exists()


def git_state(root: Path) -> dict[str, object]:
    """Return the commit and what was uncommitted; empty outside a git repository."""
    commit = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "-z", "--no-renames")
    if commit is None and changed is None:
        return {}
    entries = (changed or b"").decode(errors="replace").split("\0")
    return {
        "commit": (commit or b"").decode().strip() or None,
        "uncommitted": [entry[3:] for entry in entries if entry],
    }


def _select(project: Project) -> tuple[dict[str, Path], set[str]]:
    """Return the files to take by their names in the project, and the names of what is left out."""
    files: dict[str, Path] = {}
    left_out: set[str] = set()
    for path in _git_files(project.root) or _walk(project.root):
        name = path.relative_to(project.root)
        if str(name) in LEFT_OUT or DERIVED in name.parts or path.is_relative_to(project.runs):
            continue
        try:
            if _can_be_taken(path, project):
                files[name.as_posix()] = path
            else:
                left_out.add(name.as_posix())
        except (FileNotFoundError, NotADirectoryError):
            continue  # git tracks it, and it was deleted
        except OSError as error:
            raise _unreadable(name.as_posix(), error) from error
    return files, left_out


def _can_be_taken(path: Path, project: Project) -> bool:
    """Tell whether it is, or leads to, a file of the project that is small enough."""
    path.lstat()
    root, target = project.root.resolve(), Path(os.path.realpath(path))
    return (
        target.is_relative_to(root)
        and not target.is_relative_to(project.runs.resolve())
        and str(target.relative_to(root)) not in LEFT_OUT
        and target.is_file()
        and target.stat().st_size <= LARGEST_FILE_BYTES
    )


def _read(files: dict[str, Path]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    total_bytes = 0
    for name, path in sorted(files.items()):
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            raise _unreadable(name, error) from error
        total_bytes += len(contents[name])
        if total_bytes > LARGEST_SNAPSHOT_BYTES:
            raise LaunchError(
                f"the project's code is more than the {LARGEST_SNAPSHOT_BYTES // 2**20} MiB that a "
                "snapshot may have: let .gitignore name what is not code"
            )
    return contents


def _unreadable(name: str, error: OSError) -> LaunchError:
    return LaunchError(
        f"{_shown(name)} cannot be read for the snapshot of the code ({error.strerror or error}); "
        "make it readable, or let .gitignore name it if it is not code"
    )


def _shown(name: str) -> str:
    """Return a name as text for people and JSON, whatever bytes it is made of."""
    return os.fsencode(name).decode(errors="replace")


def _git_files(root: Path) -> list[Path]:
    listing = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [root / os.fsdecode(name) for name in (listing or b"").split(b"\0") if name]


def _git(root: Path, *arguments: str) -> bytes | None:
    """Ask git, or return None where it is not installed or this is not a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _walk(root: Path) -> Iterator[Path]:
    """Yield every file, and each folder that is not entered unless it is hidden."""

    def refuse(error: OSError) -> None:
        raise _unreadable(str(error.filename), error)

    for place, names_of_folders, names in os.walk(root, onerror=refuse):
        seen = [name for name in names_of_folders if not name.startswith(".")]
        passed_over = {
            name
            for name in seen
            if name in NEVER_CODE or name == DERIVED or Path(place, name).is_symlink()
        }
        names_of_folders[:] = [name for name in seen if name not in passed_over]
        yield from (Path(place, name) for name in (*names, *passed_over))


def _digest(contents: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in contents.items():
        total.update(os.fsencode(name) + f"\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def _write(contents: dict[str, bytes], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    try:
        for name, content in contents.items():
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        sync_tree(partial)
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # else somebody kept the same code in this moment
                raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
