"""The code that a run trains with: a copy, named by its content, that no later edit can change."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlmaster.durable_files import sync_folder
from rlmaster.errors import LaunchError
from rlmaster.project import Project

LARGEST_FILE_BYTES = 2 * 2**20
LARGEST_SNAPSHOT_BYTES = 64 * 2**20
LEFT_OUT = frozenset({"hosts.toml"})
"""Where runs may execute is nobody's business on the computer that they execute on."""
NEVER_CODE = frozenset({"runs", "__pycache__", "node_modules", "venv", "build", "dist"})
PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Snapshot:
    """Code as it was at launch."""

    digest: str
    """SHA-256 over every path and content."""
    folder: Path
    """Where the copy lies; it goes first on the import path of the worker and of training."""
    left_out: list[str]
    """Files that were too large to take along."""


def take_snapshot(project: Project) -> Snapshot:
    """Copy the project's code beside the runs, unless the same code is there already.

    Files that git tracks or would track are taken, and the `rlmaster` package where it is installed
    elsewhere.

    Raises:
        LaunchError: If the code is larger than a snapshot may be, or cannot be written.
    """
    files, left_out = _select(project.root)
    if not PACKAGE.is_relative_to(project.root):
        files |= {f"rlmaster/{path.relative_to(PACKAGE)}": path for path in _walk(PACKAGE)}
    total_bytes = sum(path.stat().st_size for path in files.values())
    if total_bytes > LARGEST_SNAPSHOT_BYTES:
        raise LaunchError(
            f"the project's code is {total_bytes / 2**20:.0f} MiB; a snapshot may have "
            f"{LARGEST_SNAPSHOT_BYTES // 2**20}: let .gitignore name what is not code"
        )
    contents = {name: path.read_bytes() for name, path in sorted(files.items())}
    digest = _digest(contents)
    folder = project.runs / ".snapshots" / digest
    if not folder.exists():
        try:
            _write(contents, folder)
        except OSError as error:
            raise LaunchError(f"cannot keep the code of the run ({error})") from error
    return Snapshot(digest, folder, left_out)


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


def _select(root: Path) -> tuple[dict[str, Path], list[str]]:
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for path in _git_files(root) or _walk(root):
        name = path.relative_to(root).as_posix()
        if name in LEFT_OUT or NEVER_CODE & set(path.relative_to(root).parts) or not path.is_file():
            continue
        if path.stat().st_size > LARGEST_FILE_BYTES:
            left_out.append(name)
        else:
            files[name] = path
    return files, left_out


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
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in NEVER_CODE]
        yield from (Path(folder) / name for name in names)


def _digest(contents: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in contents.items():
        total.update(f"{name}\0{len(content)}\0".encode())
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
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not folder.exists():  # else somebody kept the same code in this moment
                raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
