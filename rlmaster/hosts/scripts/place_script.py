"""Make folders on this computer as another one has them, each whole or not at all.

Sent as it is to `python3`, so it needs nothing but Python 3.8 and its standard library. Requests
come on stdin, each a line with its length and that many bytes of compressed JSON; answers are lines
of JSON on stdout. It ends when it refuses something, and when nothing more comes.

What of a folder is not here yet is named, and then follows on stdin in that order, as pieces: a
letter, four bytes of length, content. What has come lies beside the target, in `.incoming-NAME`,
where a cut connection leaves it for the next try; it gets its name when every checksum is right.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import stat
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

SILENCE_S = 30
"""Who sends a folder and says nothing for so long is gone, and makes room for the next."""
IDLE_S = 3600
"""How long the next request may take, for which the other side may have to read large files."""
LONGEST_REQUEST_BYTES = 64 * 2**20
LONGEST_PIECE_BYTES = 2**20
ALIVE_S = 2.0
"""The other side hears so often that something is done."""
LOCK_POLL_S = 0.05
BLOCK_BYTES = 2**20
COMPRESSED = b"z"
ENDED = ("completed", "failed", "stopped", "lost")


class Refused(Exception):  # noqa: N818  an answer, and not a failure of this program
    """Why something is not done, in one sentence."""


# ----------------------------------------------------------------------------------- talking


def answer(data: dict[str, Any]) -> None:
    """Say one JSON object."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


class Ticker:
    """Tells the other side now and then that this one lives."""

    def __init__(self) -> None:
        """Begin; nothing is said at once."""
        self._next = time.monotonic() + ALIVE_S

    def tick(self) -> None:
        """Say so, if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + ALIVE_S
            answer({"alive": True})


def read_exactly(stdin: BinaryIO, count: int, patience_s: int) -> bytes:
    """Return the next bytes; end here where they do not come, for then nobody is there."""
    signal.alarm(patience_s)  # whose default is to end this process, and its locks with it
    content = stdin.read(count)
    signal.alarm(0)
    if len(content) < count:
        sys.exit(0)
    return content


def read_request(stdin: BinaryIO) -> dict[str, Any]:
    """Return the next request; end here where there is none."""
    signal.alarm(IDLE_S)
    line = stdin.readline(32)
    signal.alarm(0)
    if not line.endswith(b"\n"):
        sys.exit(0)
    count = int(line)
    if count > LONGEST_REQUEST_BYTES:
        raise Refused("so many files cannot be sent at once")
    return json.loads(zlib.decompress(read_exactly(stdin, count, IDLE_S)))


# ------------------------------------------------------------------------------------ placing


def place(request: dict[str, Any], stdin: BinaryIO) -> dict[str, Any]:
    """Make a folder, unless it is here."""
    target = Path(request["target"])
    if not target.is_absolute() or ".." in target.parts:
        raise Refused("a folder must be named by its whole path")
    for entry in (*request["files"], *request["trees"]):
        check_name(entry["path"])
    for name in request["folders"]:
        check_name(name)
    if request.get("is_question"):
        return {"was_there": is_there(target, request) and mark_as_used(target)}
    try:
        return make(target, request, stdin)
    except OSError as error:
        raise Refused(f"{error.filename or target}: {why(error)}") from error


def make(target: Path, request: dict[str, Any], stdin: BinaryIO) -> dict[str, Any]:
    """Fill a folder beside the target, alone, and give it its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    ticker = Ticker()
    opened = open_staging(target, request, ticker)
    if opened is None:
        mark_as_used(target)
        return {"was_there": True}
    handle, staging = opened
    try:
        return fill(staging, target, request, stdin, ticker)
    finally:
        os.close(handle)


def mark_as_used(folder: Path) -> bool:
    """Tell whether a folder is here, and mark it as used now, which keeps `rlmaster gc` away."""
    try:
        os.utime(str(folder))
    except FileNotFoundError:
        return False
    except OSError:  # another account's
        return folder.is_dir()
    return True


def check_name(name: str) -> None:
    """Refuse a name that is not of a file inside."""
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise Refused(f"{name!r} is no name of a file inside a folder")


def is_there(target: Path, request: dict[str, Any]) -> bool:
    """Tell whether the folder is here already, and not that of an earlier attempt."""
    if not os.path.lexists(str(target)):
        return False
    below = request["replace_below_attempt"]
    attempt = read_json(target / "status.json").get("attempt")
    return below is None or (attempt if isinstance(attempt, int) else 1) >= below


def read_json(path: Path) -> dict[str, Any]:
    """Return a file's JSON object; an empty one where there is none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}


def open_staging(target: Path, request: dict[str, Any], ticker: Ticker) -> tuple[int, Path] | None:
    """Return the folder that is filled, locked; None where the target is here."""
    staging = target.with_name(f".incoming-{target.name}")
    while not is_there(target, request):
        staging.mkdir(0o700, exist_ok=True)
        try:
            handle = os.open(str(staging), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # whoever filled it has given it its name
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(staging.stat(), os.fstat(handle)):
                return handle, staging
        except FileNotFoundError:
            pass
        except BlockingIOError:
            ticker.tick()
            time.sleep(LOCK_POLL_S)
        except OSError:  # a file system without locks: then everybody fills a folder of their own
            staging = staging.with_name(f"{staging.name}-{secrets.token_hex(4)}")
        os.close(handle)
    return None


def fill(
    staging: Path, target: Path, request: dict[str, Any], stdin: BinaryIO, ticker: Ticker
) -> dict[str, Any]:
    """Fill the folder with what is missing in it, and give it its name."""
    files: list[dict[str, Any]] = request["files"]
    remove_others(staging, {entry["path"] for entry in files})
    missing = list(find_missing(staging, files, ticker))
    answer({"missing": missing})
    pieces = Pieces(stdin)
    for index, offset in missing:
        receive(staging / files[index]["path"], files[index]["size"], offset, pieces)
    came = [files[index] for index, _ in missing]
    if damaged := [entry["path"] for entry in came if is_damaged(staging, entry, ticker)]:
        return {"damaged": damaged}
    for tree in request["trees"]:
        link_tree(Path(tree["source"]), staging / tree["path"], ticker)
    for folder in request["folders"]:
        (staging / folder).mkdir(parents=True, exist_ok=True)
    sync(staging, ticker)
    staging.chmod(0o755)
    if os.path.lexists(str(target)):
        set_aside(target, request)
    staging.rename(target)
    sync_path(target.parent)
    return {"was_there": False}


def remove_others(staging: Path, wanted: set[str]) -> None:
    """Remove what an earlier try has left and nobody sends any more."""
    for root, folders, names in os.walk(str(staging)):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for path in (Path(root, name) for name in names + links):
            if path.relative_to(staging).as_posix() not in wanted:
                path.unlink()


def find_missing(
    staging: Path, files: list[dict[str, Any]], ticker: Ticker
) -> Iterator[tuple[int, int]]:
    """Yield the index of each file that is not whole yet, and how much of it is here."""
    for index, entry in enumerate(files):
        path = staging / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry["link"] and not os.path.lexists(str(path)):
            link(Path(entry["link"]), path, entry["size"])
        here = size_of(path)
        if here == entry["size"] and not is_damaged(staging, entry, ticker):
            continue
        if here is not None and here < entry["size"]:
            yield index, here
            continue
        if os.path.lexists(str(path)):
            path.unlink()
        yield index, 0


def size_of(path: Path) -> int | None:
    """Return the size of a regular file; None where there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def is_damaged(staging: Path, entry: dict[str, Any], ticker: Ticker) -> bool:
    """Tell whether a file's content is not what it should be; then it is removed."""
    total = hashlib.sha256()
    with (staging / entry["path"]).open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            total.update(block)
            ticker.tick()
    if total.hexdigest() == entry["sha256"]:
        return False
    (staging / entry["path"]).unlink()
    return True


class Pieces:
    """What comes on stdin, as one stream."""

    def __init__(self, stdin: BinaryIO) -> None:
        """Begin; nothing is read yet."""
        self._stdin = stdin
        self._rest = b""

    def read(self, most: int) -> bytes:
        """Return at least a byte, and at most so many."""
        while not self._rest:
            kind, count = struct.unpack(">cI", read_exactly(self._stdin, 5, SILENCE_S))
            if count > LONGEST_PIECE_BYTES:
                raise Refused("a piece is too long")
            content = read_exactly(self._stdin, count, SILENCE_S)
            self._rest = zlib.decompress(content) if kind == COMPRESSED else content
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken


def receive(path: Path, size: int, offset: int, pieces: Pieces) -> None:
    """Write the rest of a file as it comes, so that nothing of it is sent twice."""
    with path.open("ab", buffering=0) as file:
        while offset < size:
            content = pieces.read(size - offset)
            while content:
                written = file.write(content)
                offset += written
                content = content[written:]


def link(source: Path, path: Path, size: int | None) -> None:
    """Link a file of that size which never changes; where that cannot be, nothing is done.

    One of another size is not linked, since what is shorter would be written on.
    """
    try:
        if size is not None and size_of(source) == size:
            os.link(str(source), str(path))
    except OSError:
        pass


def link_tree(source: Path, target: Path, ticker: Ticker) -> None:
    """Give a folder the files of another one here: the same files where the disk allows it."""
    if not source.is_dir():
        raise Refused(f"{source} is not there any more")
    shutil.rmtree(str(target), ignore_errors=True)
    for root, _, names in os.walk(str(source)):
        inside = target / Path(root).relative_to(source)
        inside.mkdir(parents=True, exist_ok=True)
        for name in names:
            found, path = Path(root, name), inside / name
            link(found, path, size_of(found))
            if size_of(found) is not None and not path.exists():
                shutil.copy2(str(found), str(path))
            ticker.tick()


def set_aside(target: Path, request: dict[str, Any]) -> None:
    """Rename the folder of an earlier attempt, unless somebody still works in it."""
    where = read_json(target / "placement.json")
    has_ended = read_json(target / "status.json").get("state") in ENDED
    if where.get("machine", machine()) != machine() and not has_ended:
        raise Refused(
            f"{target} is a folder of {where.get('computer')} too, where the run has not ended; "
            "give each host a workspace of its own in hosts.toml"
        )
    folder = Path(os.environ.get("RLMASTER_LOCKS") or "/tmp") / f"rlmaster-{os.getuid()}"
    if not is_free(folder / boot_id() / f"{request['run_id']}.lock"):
        raise Refused(f"an earlier attempt of the run still works in {target}; stop it first")
    os.utime(str(target))  # from now on `rlmaster gc` counts
    target.rename(target.with_name(f".superseded-{target.name}-{secrets.token_hex(4)}"))


def machine() -> str:
    """Return what tells this computer from all others, as `rlmaster.placement.machine` does."""
    try:
        identity = Path("/etc/machine-id").read_text(encoding="utf-8").strip()[:12]
    except OSError:
        identity = ""
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in platform.node()) or "computer"
    return f"{name}-{identity}" if identity else name


def boot_id() -> str:
    """Return what tells this start of the computer from every other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown-boot"


def is_free(lock: Path) -> bool:
    """Tell whether nobody holds a lock."""
    try:
        handle = os.open(str(lock), os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def sync(folder: Path, ticker: Ticker) -> None:
    """Make everything in a folder survive a power cut."""
    with ThreadPoolExecutor(4) as pool:  # the file system then writes several with one commit
        for _ in pool.map(sync_path, [folder, *folder.rglob("*")]):
            ticker.tick()


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    handle = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def why(error: OSError) -> str:
    """Return what is wrong, and what to do."""
    reason = error.strerror or str(error)
    return f"{reason}; free some space or check who may write there"


def main() -> None:
    """Answer requests until there are no more, or one is refused."""
    stdin = sys.stdin.buffer
    try:
        while True:
            answer({"placed": place(read_request(stdin), stdin)})
    except Refused as refusal:
        answer({"refused": str(refusal)})


if __name__ == "__main__":
    main()
