"""Streams what grows in run folders to the computer that started this, until that falls silent.

It is sent to a host and runs there under the Python that is there: 3.8 or later, standard library
only. Looking at a run costs a few calls of stat, and only what is new is read.

Arguments: what is mirrored, as JSON, and after how many seconds of silence it ends.

stdin takes a JSON object a line: `{"track": {"run_id", "number", "folder",
"known": {path: [size, crc]}}}`, `{"untrack": run_id}`, `{"alive": bytes received so far}`. stdout
gives frames: a JSON line, and the bytes that its `size` tells, compressed where `length` is larger.
The `number` of a track comes back in each frame of its run, so that those of an earlier one are
told from those of the present one.
"""

from __future__ import annotations

import json
import os
import re
import select
import stat
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

LOOK_S = 0.2
BEAT_S = 2.0
CHUNK_BYTES = 128 * 1024
WINDOW_BYTES = 512 * 1024
"""So much may be on its way: what is urgent has no more than this before it."""
MOST_LINE_BYTES = 16 * 2**20
TAIL_BYTES = 4096
"""By so much of its end, the part of a file that the other side has is recognised."""
LOOKS_TO_SETTLE = 5
"""A folder that has changed is listed again so often: the next file may have the same time."""
MOST_ENTRIES = 20_000
FINAL_STATES = ("completed", "failed", "stopped", "lost")
STATUS, CLAIMS = "status.json", "announced"
SAFE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Wire:
    """The way out: it never blocks, and holds back what the other side has not taken in yet."""

    def __init__(self, handle: int) -> None:
        """Write to a descriptor."""
        os.set_blocking(handle, False)
        self.handle = handle
        self.waiting = bytearray()
        self.sent_bytes = 0
        self.received_bytes = 0
        """How much the other side says that it has."""

    def has_room(self) -> bool:
        """Tell whether another frame may be put."""
        on_its_way = self.sent_bytes - self.received_bytes
        return on_its_way < WINDOW_BYTES and len(self.waiting) < WINDOW_BYTES

    def put(self, header: dict[str, Any], content: bytes = b"") -> None:
        """Add a frame."""
        packed = zlib.compress(content, 3) if len(content) > 128 else content
        if len(packed) >= len(content):
            packed = content
        header.update(size=len(packed), length=len(content))
        frame = json.dumps(header).encode() + b"\n" + packed
        self.waiting += frame
        self.sent_bytes += len(frame)

    def flush(self) -> None:
        """Hand over as much as is taken now."""
        try:
            while self.waiting:
                del self.waiting[: os.write(self.handle, self.waiting)]
        except BlockingIOError:
            pass


class Inbox:
    """The way in."""

    def __init__(self) -> None:
        """Read from stdin, of which something may have been read ahead."""
        os.set_blocking(0, False)
        buffered: Any = sys.stdin.buffer
        self.unread = bytearray(buffered.peek())
        self.heard_s = time.monotonic()
        self.has_ended = False

    def lines(self) -> list[bytes]:
        """Return the whole lines that have come."""
        try:
            while not self.has_ended:
                piece = os.read(0, 65536)
                self.has_ended = not piece
                self.unread += piece
                self.heard_s = time.monotonic()
        except BlockingIOError:
            pass
        *whole, rest = bytes(self.unread).split(b"\n")
        self.unread = bytearray(rest)
        self.has_ended |= len(rest) > MOST_LINE_BYTES
        return whole


class Listing:
    """The names of a folder's files and of those further in; read only when it has changed."""

    def __init__(self, folder: Path, name: str, deep: int) -> None:
        """Describe a folder, which need not be there.

        Args:
            folder: Where it is.
            name: Regular expression of the files' names.
            deep: How many folders further in are looked into.
        """
        self.folder, self.name, self.deep = folder, name, deep
        self.signature = (0, 0)
        self.unsettled = 0
        self.files: list[str] = []
        self.inner: dict[str, Listing] = {}

    def names(self) -> Iterator[str]:
        """Give the names, those further in with their folders."""
        self.refresh()
        yield from self.files
        for name, listing in self.inner.items():
            for path in listing.names():
                yield name + "/" + path

    def refresh(self) -> None:
        """List it anew where that may bring something."""
        try:
            found = os.lstat(self.folder)
        except OSError:
            self.files, self.inner = [], {}
            return
        signature = (found.st_ino, found.st_mtime_ns)
        if signature != self.signature:
            self.signature, self.unsettled = signature, LOOKS_TO_SETTLE
        if self.unsettled and stat.S_ISDIR(found.st_mode):
            self.unsettled -= 1
            self.list_anew()

    def list_anew(self) -> None:
        """Read the folder; links are passed over."""
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in islice(entries, MOST_ENTRIES):
                    if entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
                    elif self.deep and entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
        except OSError:
            return
        self.files = sorted(n for n in files if re.fullmatch(self.name, n, re.ASCII))
        for name in sorted(folders):
            inner = Listing(self.folder / name, self.name, self.deep - 1)
            self.inner.setdefault(name, inner)


class Item:
    """A file of a run: one that grows, or one that is replaced whole."""

    def __init__(self, path: str, place: Path, rule: dict[str, Any], known: list[int]) -> None:
        """Describe a file.

        Args:
            path: What the other side calls it.
            place: Where it is.
            rule: How it is mirrored.
            known: Size and checksum of what is there on the other side; empty if nothing is.
        """
        self.path, self.place, self.known = path, str(place), known
        self.most_bytes = rule["most_bytes"]
        self.is_urgent = rule["every_s"] == 0
        self.is_queued = False

    def has_news(self) -> bool:
        """Look at it, and tell whether there is something to send."""
        raise NotImplementedError

    def next_frame(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the next piece; None where there is none after all."""
        raise NotImplementedError

    def has_more(self) -> bool:
        """Tell whether more is known to follow."""
        return False


class Growing(Item):
    """A file that is appended to."""

    inode = 0
    size = 0
    offset = 0
    end = b""
    """What is before the offset, as far as it serves to tell this file from another."""
    is_anew = False
    """Whether the other side must begin it anew, although nothing may follow."""

    def has_news(self) -> bool:
        """Look at its size."""
        found = os.lstat(self.place)
        if not stat.S_ISREG(found.st_mode):
            return False
        if self.inode == 0:
            self.go_on(found)
        elif found.st_ino != self.inode or found.st_size < self.offset:
            self.begin_anew(found)
        self.size = min(found.st_size, self.most_bytes)
        return self.has_more()

    def has_more(self) -> bool:
        """Tell whether the other side lacks something of what was seen."""
        return self.size > self.offset or self.is_anew

    def go_on(self, found: os.stat_result) -> None:
        """Begin after what the other side has, if that is the beginning of just this file."""
        self.inode = found.st_ino
        self.is_anew = not self.known  # an empty one is made, too
        if not self.known:
            return
        size, checksum = self.known
        first = max(0, size - TAIL_BYTES)
        self.end = self.read(first, size - first) if size <= found.st_size else b""
        self.offset = size
        if len(self.end) != size - first or zlib.crc32(self.end) != checksum:
            self.begin_anew(found)

    def begin_anew(self, found: os.stat_result) -> None:
        """Send it from its beginning."""
        self.inode, self.offset, self.end, self.is_anew = found.st_ino, 0, b"", True

    def next_frame(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the next chunk."""
        before = len(self.end)
        size = min(CHUNK_BYTES, self.size - self.offset)
        content = self.read(self.offset - before, before + size)
        if content[:before] != self.end:  # it was replaced, and the new one has the old number
            self.begin_anew(os.lstat(self.place))
            return self.next_frame()
        content, end = content[before:], content[-TAIL_BYTES:]
        if not content and not self.is_anew:
            self.size = self.offset  # it was cut meanwhile, which the next look sees
            return None
        header = {"kind": "append", "offset": self.offset}
        self.offset, self.end, self.is_anew = self.offset + len(content), end, False
        return header, content

    def read(self, offset: int, size: int) -> bytes:
        """Return a part of the very file that was looked at; nothing where it is another now."""
        handle = os.open(self.place, SAFE_FLAGS)
        try:
            return os.pread(handle, size, offset) if os.fstat(handle).st_ino == self.inode else b""
        finally:
            os.close(handle)


class Whole(Item):
    """A small file that is replaced."""

    signature = (0, 0, 0, 0)

    def has_news(self) -> bool:
        """Look at what tells its present content from the last one."""
        found = os.lstat(self.place)
        if not stat.S_ISREG(found.st_mode) or found.st_size > self.most_bytes:
            return False
        signature = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        is_news, self.signature = signature != self.signature, signature
        return is_news

    def next_frame(self) -> tuple[dict[str, Any], bytes] | None:
        """Return it as it is now."""
        content = self.read()
        is_known = self.known == [len(content), zlib.crc32(content)]
        self.known: list[int] = []
        return None if is_known else ({"kind": "replace"}, content)

    def read(self) -> bytes:
        """Return its content, which a link never leads to."""
        handle = os.open(self.place, SAFE_FLAGS)
        with os.fdopen(handle, "rb") as file:
            return file.read(self.most_bytes)


class Run:
    """A run folder that is streamed."""

    def __init__(
        self,
        asked: dict[str, Any],
        rules: list[dict[str, Any]],
    ) -> None:
        """Describe a run as it was asked for."""
        self.run_id, self.number = asked["run_id"], asked["number"]
        self.folder = folder = Path(asked["folder"])
        self.known: dict[str, list[int]] = asked["known"]
        self.rules = [(rule, self.listing(rule)) for rule in rules if rule["name"] != STATUS]
        self.items: dict[str, Item] = {}
        status_rule = next(rule for rule in rules if rule["name"] == STATUS)
        self.status_file = Whole(STATUS, folder / STATUS, status_rule, [])
        self.status_said: dict[str, Any] = {}
        self.status: bytes | None = None
        """What `status.json` held before everything else was looked at, until that is sent."""
        self.before_status: list[Item] = []
        """What must be sent before it, since it is the last word."""

    def listing(self, rule: dict[str, Any]) -> Listing:
        """Return what lists the files of a rule."""
        if rule["folder"] == CLAIMS:
            place = self.folder.parents[1] / ".state" / CLAIMS / self.run_id
        else:
            place = self.folder / rule["folder"]
        return Listing(place, rule["name"], rule["folders_deep"])

    def look(self, due: set[float]) -> list[Item]:
        """Look for what is new, the status before everything else; return what has news.

        Args:
            due: What is looked at so often is due.
        """
        is_last = self.read_status()
        news: list[Item] = []
        for rule, listing in self.rules:
            if is_last or rule["every_s"] in due:
                news += [item for item in self.items_of(rule, listing) if looks(item)]
        if is_last:
            self.before_status = [item for item in self.items.values() if item.is_queued] + news
        return news

    def items_of(self, rule: dict[str, Any], listing: Listing) -> Iterator[Item]:
        """Give the files of a rule."""
        names = listing.names() if rule["folder"] else [rule["name"]]
        for name in islice(names, rule["most_files"]):
            path = rule["folder"] + "/" + name if rule["folder"] else name
            if path not in self.items:
                kind = Growing if rule["grows"] else Whole
                known = self.known.pop(path, [])
                self.items[path] = kind(path, listing.folder / name, rule, known)
            yield self.items[path]

    def read_status(self) -> bool:
        """Read the status if it has changed, and tell whether that is the last word."""
        if not looks(self.status_file):
            return False
        try:
            self.status = self.status_file.read()
            said = json.loads(self.status)
        except (OSError, ValueError):
            return False
        self.status_said = said if isinstance(said, dict) else {}
        self.before_status = []
        return self.status_said.get("state") in FINAL_STATES

    def ready_status(self) -> bytes | None:
        """Return the status once it may be sent."""
        if self.status is None or any(item.is_queued for item in self.before_status):
            return None
        status, self.status, self.before_status = self.status, None, []
        return status

    def lock_file(self, boot_id: str) -> str:
        """Return where its run lock is: where its worker says, or else where it would be."""
        said = self.status_said
        if said.get("boot_id") == boot_id and isinstance(said.get("lock"), str) and said["lock"]:
            return str(said["lock"])
        base = os.environ.get("RLMASTER_LOCKS") or "/tmp"
        return f"{base}/rlmaster-{os.getuid()}/{boot_id}/{self.run_id}.lock"


def looks(item: Item) -> bool:
    """Look at a file; one that is not there or may not be read has no news."""
    try:
        return item.has_news()
    except OSError:
        return False


class Streamer:
    """All runs that are streamed, and what is to be sent next."""

    def __init__(self, rules: list[dict[str, Any]], wire: Wire) -> None:
        """Stream nothing yet."""
        self.rules, self.wire = rules, wire
        self.runs: dict[str, Run] = {}
        self.urgent: deque[tuple[Run, Item]] = deque()
        self.usual: deque[tuple[Run, Item]] = deque()
        """Whoever has sent a chunk and has more goes to the end, so all get their turn."""
        self.next_s = dict.fromkeys((rule["every_s"] for rule in rules), 0.0)
        """When files of each kind are looked at next; those of all runs go together, as one."""
        self.next_beat_s = 0.0
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def obey(self, line: bytes) -> None:
        """Do what the other side asks."""
        asked = json.loads(line)
        if "track" in asked:
            run = Run(asked["track"], self.rules)
            self.forget(run.run_id)
            self.runs[run.run_id] = run
            self.next_s = dict.fromkeys(self.next_s, 0.0)
            self.next_beat_s = 0.0
        elif "untrack" in asked:
            self.forget(asked["untrack"])
        else:
            self.wire.received_bytes = asked["alive"]

    def forget(self, run_id: str) -> None:
        """Stream a run no more."""
        self.runs.pop(run_id, None)
        self.urgent = deque(entry for entry in self.urgent if entry[0].run_id != run_id)
        self.usual = deque(entry for entry in self.usual if entry[0].run_id != run_id)

    def look(self, now_s: float) -> None:
        """Look at all runs."""
        due = {every_s for every_s, next_s in self.next_s.items() if now_s >= next_s}
        self.next_s.update({every_s: now_s + every_s for every_s in due})
        for run in self.runs.values():
            for item in run.look(due):
                self.enqueue(run, item)
        if now_s >= self.next_beat_s:
            self.next_beat_s = now_s + BEAT_S
            self.beat()

    def enqueue(self, run: Run, item: Item) -> None:
        """Let a file wait for its turn."""
        if not item.is_queued:
            item.is_queued = True
            (self.urgent if item.is_urgent else self.usual).append((run, item))

    def send(self) -> None:
        """Put as many frames as may be on their way."""
        self.send_statuses()
        while self.wire.has_room() and (self.urgent or self.usual):
            run, item = (self.urgent or self.usual).popleft()
            item.is_queued = False
            try:
                frame = item.next_frame()
            except OSError:
                continue
            if frame:
                header, content = frame
                self.put(run, {"path": item.path, **header}, content)
            if item.has_more():
                self.enqueue(run, item)
        self.send_statuses()

    def send_statuses(self) -> None:
        """Put each status that may go now."""
        for run in self.runs.values():
            status = run.ready_status()
            if status is not None:
                self.put(run, {"path": STATUS, "kind": "replace"}, status)

    def put(self, run: Run, header: dict[str, Any], content: bytes) -> None:
        """Put a frame of a run."""
        self.wire.put({"run": run.run_id, "number": run.number, **header}, content)

    def beat(self) -> None:
        """Say that this lives, and which runs do."""
        locked, boot_id, runs = locked_inodes(), self.boot_id, self.runs.items()
        held = [run_id for run_id, run in runs if inode_of(run.lock_file(boot_id)) in locked]
        missing = [run_id for run_id, run in runs if not inode_of(run.folder)]
        self.wire.put({"kind": "beat", "locked": held, "missing": missing})


def locked_inodes() -> set[int]:
    """Return what the kernel lists as locked; trying a lock would be in a worker's way."""
    lines = Path("/proc/locks").read_text().splitlines()
    return {int(line.split(":")[-1].split()[0]) for line in lines}


def inode_of(path: str | Path) -> int:
    """Return a file's number, 0 where there is none."""
    try:
        return Path(path).stat().st_ino
    except (OSError, ValueError):
        return 0


def main(rules: list[dict[str, Any]], silence_s: float) -> None:
    """Stream until the other side is gone, or has said nothing for so long."""
    inbox, wire = Inbox(), Wire(1)
    streamer = Streamer(rules, wire)
    next_look_s = 0.0
    while not inbox.has_ended and time.monotonic() - inbox.heard_s < silence_s:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        if wire.waiting:
            poll.register(1, select.POLLOUT)
        poll.poll(max(0.0, next_look_s - time.monotonic()) * 1000)
        for line in inbox.lines():
            streamer.obey(line)
        now_s = time.monotonic()
        if now_s >= next_look_s:
            streamer.look(now_s)
            next_look_s = now_s + LOOK_S
        streamer.send()
        wire.flush()


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]), float(sys.argv[2]))
    except BrokenPipeError:
        os._exit(0)  # nobody listens any more
