"""The mirror of a host: what grows in the run folders there grows here too."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from rlmaster.durable_files import parse_object
from rlmaster.errors import HostError, RlmasterError, RunFolderError, SilenceError
from rlmaster.fleet.contained_files import append_at, overwrite, replace_file
from rlmaster.fleet.frames import Frame, FrameReader
from rlmaster.fleet.known_files import known_files
from rlmaster.fleet.mirrored_run import Change, MirroredRun, RefusedError
from rlmaster.fleet.run_files import (
    CLAIMS,
    LOG,
    RULES,
    STATUS,
    Rule,
    rule_of,
    shown_name,
)
from rlmaster.fleet.told_status import is_superseded, read_told_status
from rlmaster.hosts.remote import RemoteHost
from rlmaster.notify import DELIVERED
from rlmaster.run_folder import RunFolder
from rlmaster.run_lock import RunLock
from rlmaster.run_status import FINAL_STATES, Status

SCRIPT = "stream_script.py"
SILENCE_S = 10.0
"""A host says every two seconds that it lives; with none of that for so long, it does not."""
ALIVE_S = 5.0
FORGOTTEN_S = 120.0
"""Of us a host must hear so often, else what streams there ends."""
ACKNOWLEDGED_BYTES = 128 * 2**10
"""A host is told often enough what has arrived that it need not wait to send more."""
RETRY_S = 10.0
"""After this a run that could not be written here is tried again."""
ANEW_S = 1.0
ENDING_LOCK_S = 10.0
PNG_BEGINNING = b"\x89PNG\r\n\x1a\n"


class HostMirror:
    """Copies what grows on one host into the run folders here, over one connection.

    It is for one thread, and `step` must be called every few seconds. Nothing that the host says is
    trusted: a run of which it says what cannot be is mirrored no more (`Change.trouble`), and one
    that speaks nonsense altogether is left with a HostError.
    """

    def __init__(self, remote: RemoteHost, runs: Path) -> None:
        """Start the streaming program there.

        Args:
            remote: The host, connected; stays the caller's.
            runs: Where the project here keeps its runs.

        Raises:
            HostError: If it cannot be started.
        """
        self.host = remote.host.name
        self._runs_folder = runs
        rules = json.dumps([rule.to_data() for rule in RULES])
        self._process = remote.start_script(SCRIPT, [rules, str(FORGOTTEN_S)])
        self._reader = FrameReader(self._process, self.host)
        self._runs: dict[str, MirroredRun] = {}
        self._gone: list[MirroredRun] = []
        """Mirrored no more, and that is still to be told."""
        self._again_s: dict[str, float] = {}
        """When a run that is set aside is tracked again."""
        self._heard_s = self._spoke_s = time.monotonic()
        self.received_bytes = 0
        """What the host has sent in all."""
        self._acknowledged_bytes = self._number = 0

    def track(self, run: RunFolder) -> None:
        """Mirror a run from now on; one that is tracked already starts anew from what is here.

        Raises:
            RunFolderError: If it is not made on this host.
            HostError: If the host cannot be told.
        """
        before = self._runs.get(run.id)
        placement = run.placement()
        if placement is None or placement.host != self.host:
            raise RunFolderError(f"run {run.short_id} is not made on {self.host}")
        self._number += 1
        mirrored = MirroredRun(run, self._number)
        if before:
            mirrored.paths, mirrored.told_trouble = before.paths, before.told_trouble
            mirrored.is_locked, mirrored.told_locked = before.is_locked, before.told_locked
        known = known_files(run, self._claims(run))
        for path, (size, _) in known.items():
            if rule := rule_of(path):
                mirrored.count(path, rule, size)
        self._runs[run.id] = mirrored
        self._again_s.pop(run.id, None)
        place = {"run_id": run.id, "number": self._number, "folder": placement.folder}
        self._say({"track": {**place, "known": known}})

    def untrack(self, run_id: str) -> None:
        """Mirror a run no more; one that is not tracked is passed over.

        Raises:
            HostError: If the host cannot be told.
        """
        self._again_s.pop(run_id, None)
        if self._runs.pop(run_id, None):
            self._say({"untrack": run_id})

    def step(self, timeout_s: float) -> list[Change]:
        """Wait for what the host says next, write it down, and tell what has changed.

        It returns as soon as something came, and with nothing when the time is over.

        Raises:
            HostError: If the host has been silent for too long, or the connection is lost.
        """
        now_s = time.monotonic()
        self._track_again(now_s)
        unread_bytes = self.received_bytes - self._acknowledged_bytes
        if unread_bytes >= ACKNOWLEDGED_BYTES or now_s - self._spoke_s >= ALIVE_S:
            self._say({"alive": self.received_bytes})
        try:
            frames = self._reader.arrived(min(timeout_s, ALIVE_S))
        except SilenceError as error:
            if time.monotonic() - self._heard_s < SILENCE_S:
                return self._changes()
            raise HostError(f"{self.host} has said nothing for {SILENCE_S:g} s") from error
        if self._reader.has_ended:
            raise HostError(self._last_words())
        self._heard_s = time.monotonic()
        self._apply(frames)
        return self._changes()

    def close(self) -> None:
        """End the streaming program; the connection stays open."""
        self._process.close()

    # ---------------------------------------------------------------------- what the host is told

    def _say(self, message: dict[str, object]) -> None:
        self._process.write(json.dumps(message).encode() + b"\n")
        self._spoke_s = time.monotonic()
        if "alive" in message:
            self._acknowledged_bytes = self.received_bytes

    def _set_aside(self, mirrored: MirroredRun, seconds: float) -> None:
        """Take nothing of a run for a while, and then go on from what is here."""
        self._again_s[mirrored.run.id] = time.monotonic() + seconds
        mirrored.number = -2  # that of no frame
        self._say({"untrack": mirrored.run.id})

    def _track_again(self, now_s: float) -> None:
        """Track the runs again that were set aside for long enough."""
        for run_id in [run_id for run_id, again_s in self._again_s.items() if again_s <= now_s]:
            mirrored = self._runs[run_id]
            try:
                self.track(mirrored.run)
            except RunFolderError as error:  # it was moved, or deleted, meanwhile
                self._leave(mirrored, str(error))

    def _leave(self, mirrored: MirroredRun, why: str) -> None:
        """Mirror a run no more, and tell why."""
        mirrored.trouble = why
        self._gone.append(mirrored)
        self.untrack(mirrored.run.id)

    def _last_words(self) -> str:
        """Return why the program there has ended."""
        lines = self._process.complaint().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it does not say why")
        return f"what streams on {self.host} has ended ({shown_name(last.strip())})"

    # ------------------------------------------------------------------------ what the host says

    def _apply(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            self.received_bytes += frame.wire_bytes
            mirrored = self._runs.get(frame.text("run"))
            if frame.text("kind") == "beat":
                self._beat(frame)
            elif mirrored and mirrored.number == frame.number("number"):
                self._take(mirrored, frame)

    def _beat(self, frame: Frame) -> None:
        """Note which runs live there, and which are not even there."""
        locked, missing = frame.texts("locked"), frame.texts("missing")
        for run_id, mirrored in self._runs.items():
            mirrored.is_locked = run_id in locked
            if run_id in missing and not mirrored.trouble:
                short_id = mirrored.run.short_id
                mirrored.trouble = f"the folder of run {short_id} is gone from {self.host}"

    def _take(self, mirrored: MirroredRun, frame: Frame) -> None:
        """Take a frame in; whatever is wrong with it concerns its run alone."""
        run = mirrored.run
        if mirrored.host() != self.host:
            self._leave(mirrored, f"run {run.short_id} is not made on {self.host}")
            return
        try:
            self._write(mirrored, frame)
        except RefusedError as refused:
            self._leave(
                mirrored,
                f"{self.host} {refused}, so run {run.short_id} is not mirrored from there; look "
                "at its folder there",
            )
        except (OSError, RlmasterError) as error:
            why = getattr(error, "strerror", None) or error
            mirrored.trouble = f"{run.path} cannot be written ({why}); it is tried again"
            self._set_aside(mirrored, RETRY_S)
        else:
            mirrored.trouble = mirrored.told_trouble = ""

    # ------------------------------------------------------------------------- what is written here

    def _write(self, mirrored: MirroredRun, frame: Frame) -> None:
        path, content = frame.text("path"), frame.content
        rule = rule_of(path)
        if rule is None:
            raise RefusedError(f"offers a file {shown_name(path)}, which no run has")
        grows = frame.text("kind") == "append"
        offset = frame.number("offset") if grows else 0
        if grows != rule.grows or offset < 0 or offset + len(content) > rule.most_bytes:
            raise RefusedError(f"sends as {path} what it cannot hold")
        mirrored.count(path, rule, offset + len(content))
        if grows:
            self._append(mirrored, rule, path, offset, content)
        elif path == STATUS:
            self._take_status(mirrored, content)
        elif rule.folder == CLAIMS:
            self._claim(mirrored, path, content)
        else:
            _refuse_nonsense(path, content)
            replace_file(mirrored.run.path, path, content)
            mirrored.paths.add(path)

    def _append(
        self, mirrored: MirroredRun, rule: Rule, path: str, offset: int, content: bytes
    ) -> None:
        if not append_at(mirrored.run.path, path, offset, content):
            self._set_aside(mirrored, ANEW_S)  # somebody else has changed it here
            return
        mirrored.paths.add(path)
        size = offset + len(content)
        if path == LOG and size == rule.most_bytes:
            words = f"\n[rlmaster] more of this log is on {self.host}: `rlmaster pull --all`\n"
            append_at(mirrored.run.path, path, size, words.encode())

    def _claim(self, mirrored: MirroredRun, path: str, content: bytes) -> None:
        """Note that a notice was delivered there, in the file that others lock to deliver it."""
        if content == DELIVERED:
            name = path.removeprefix(f"{CLAIMS}/")
            overwrite(self._runs_folder, f".state/{CLAIMS}/{mirrored.run.id}/{name}", content)
            mirrored.paths.add(path)

    def _claims(self, run: RunFolder) -> Path:
        return self._runs_folder / ".state" / CLAIMS / run.id

    def _take_status(self, mirrored: MirroredRun, content: bytes) -> None:
        status = read_told_status(content)
        if status is None:
            raise RefusedError("says of its status what cannot be")
        if is_superseded(mirrored.run, status, self.host):
            return
        if status.state in FINAL_STATES:
            mirrored.ended, mirrored.unwritten = status, None
        else:
            mirrored.unwritten = status

    def _changes(self) -> list[Change]:
        for mirrored in self._runs.values():
            if mirrored.unwritten and _write_status(mirrored.run, mirrored.unwritten, self.host):
                mirrored.paths.add(STATUS)
                mirrored.unwritten = None
        changes = [mirrored.take_change() for mirrored in (*self._runs.values(), *self._gone)]
        self._gone.clear()
        return [change for change in changes if change]


def _refuse_nonsense(path: str, content: bytes) -> None:
    """Refuse what would trouble those who read it here."""
    is_image = path.endswith(".png")
    if not (content.startswith(PNG_BEGINNING) if is_image else parse_object(content) is not None):
        raise RefusedError(f"sends as {path} what it cannot hold")


def _write_status(run: RunFolder, status: Status, host: str) -> bool:
    """Write a status unless somebody is about to decide something else; tell if that is settled."""
    with RunLock(run.id) as lock:
        if not lock.take():
            return False
        if not is_superseded(run, status, host):
            replace_file(run.path, STATUS, json.dumps(status.to_data(), indent=2).encode())
        return True


def write_ending(run: RunFolder, status: Status) -> bool:
    """Write the final status that `Change.ended` told: last of all, when all else is here.

    Returns:
        Whether the run has ended so; not where it has gone on, or was taken elsewhere, meanwhile.

    Raises:
        RunFolderError: If somebody has held the run lock here for long.
    """
    with RunLock(run.id) as lock:
        if not lock.take_within(ENDING_LOCK_S):
            raise RunFolderError(
                f"somebody is at run {run.short_id} here, so that its end is not written yet; try "
                "again"
            )
        placement = run.placement()
        if placement is None or is_superseded(run, status, placement.host):
            return False
        if run.status() != status:
            run.write_status(status)
        return True
