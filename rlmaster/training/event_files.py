"""TensorBoard's event files: one for each attempt of a run, in the order of the attempts.

Readers take the files of a folder by name, which begins with a time. That is never before the time
of an earlier file, so a clock that was set back between two attempts changes nothing.
"""

import os
import re
import socket
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from tensorboard.summary.writer.record_writer import RecordWriter

from rlmaster.durable_files import sync_folder

EVENT = import_module("tensorboard.compat.proto.event_pb2")
"""By name, because generated code has no types."""
FILE_VERSION = "brain.Event:2"


class EventFile:
    """The event file of the present attempt, open for appending."""

    def __init__(self, folder: Path, first_step: int) -> None:
        """Start a new file beside those of earlier attempts.

        Args:
            folder: Where they are; made where it is missing.
            first_step: What earlier attempts wrote from this step on no longer counts.
        """
        folder.mkdir(parents=True, exist_ok=True)
        moment = max(int(time.time()), max(_times(folder), default=0) + 1)
        name = f"events.out.tfevents.{moment:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = (folder / name).open("xb")
        self._records = RecordWriter(self._file)
        self._write(EVENT.Event(file_version=FILE_VERSION))
        # In the first file too: TensorBoard takes the second of a folder for the first restart.
        start = EVENT.SessionLog(status=EVENT.SessionLog.START)
        self._write(EVENT.Event(step=first_step, session_log=start))
        sync_folder(folder)

    def add(self, summary: Any, step: int = 0) -> None:
        """Append a summary, as the functions of `torch.utils.tensorboard.summary` make them."""
        self._write(EVENT.Event(step=step, summary=summary))

    def flush(self) -> None:
        """Let readers see what was added."""
        self._file.flush()

    def sync(self) -> None:
        """Make what was added survive a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write what is left."""
        self._file.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def _times(folder: Path) -> list[int]:
    """Return the times that the names of event files begin with."""
    names = [path.name for path in folder.glob("*tfevents*")]
    return [int(found[1]) for name in names if (found := re.search(r"tfevents\.(\d+)", name))]
