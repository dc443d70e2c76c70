"""Everything a run keeps, written in the background, so that the training loop never waits.

The loop hands over numbers, tensors and pictures and goes on; one thread writes them in that order.
Tensors may still be under computation on a device: only that thread waits for them. What takes long
and belongs nowhere in the order, such as sealing frames, is done aside by a second one.
"""

import math
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlmaster.events import Event, append_event, event, read_events
from rlmaster.run_folder import Progress, RunFolder

if TYPE_CHECKING:
    from PIL.Image import Image

    from rlmaster.training.event_files import EventFile

PROGRESS_EVERY_S = 0.5
FAILURE_SEEN_WITHIN_S = 0.2
RATE_MEMORY_S = 5.0
"""How long the rate of progress remembers; shorter jumps about, longer lags behind."""
REPEATED_KINDS = frozenset({"resumed", "damaged"})
"""Events that each attempt has, however often it starts from the same step."""


class Recording:
    """The run folder, as training sees it: hand something over, and it will be kept."""

    def __init__(self, run: RunFolder) -> None:
        """Start the background threads; `close` ends them after everything is written."""
        self._run = run
        for left_behind in run.path.glob(f".{run.progress_file.name}.*.tmp"):
            left_behind.unlink()  # of an attempt that was killed
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        before = run.progress()
        self._progress = Progress(values=before.values, result=before.result)
        self._events = set(map(_identity, read_events(run.training_events)[0]))
        self._step = 0
        self._first_step = 0
        self._first_scalar_step = 0
        self._newest_points: tuple[int, list[tuple[str, float]]] = (0, [])
        self._rate = _Rate()
        self._event_files: dict[Path, EventFile] = {}
        self.failure: Exception | None = None
        """The first thing that could not be kept, if anything; the run ends with it."""
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._thread = threading.Thread(target=self._write, name="recording", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------- handed over by the loop

    def begin(self, first_step: int, points: Sequence[tuple[str, float]] | None = None) -> None:
        """Say with which step this attempt begins; what earlier ones drew from there on is void.

        It must come before the first scalar, preview or hyperparameter.

        Args:
            first_step: The step.
            points: What `points_at` said of the step before it, where that is known. These are
                written anew, so that what an attempt which came no further has added there is void.
        """
        self._first_step = first_step
        self._first_scalar_step = first_step if points is None else first_step - 1
        for tag, value in points or ():
            self.scalars(first_step - 1, {tag: value})
        if first_step == 0:
            self._submit(lambda: self._change_progress(values={}, result={}))

    def phase(self, name: str, total: int, axis: str, done: int = 0) -> None:
        """Say what is being done from now on, and what counts its progress.

        Args:
            name: What is being done.
            total: How far it goes.
            axis: What is counted: steps, updates, rows or frames.
            done: How far earlier attempts have come.
        """
        self._step = done
        self._submit(lambda: self._begin(name, total, axis, done))

    def advance(self, step: int) -> None:
        """Say how far the phase is; costs an assignment."""
        self._step = step

    def scalars(self, step: int, values: Mapping[str, Tensor | float]) -> None:
        """Keep the value of each tag at a step."""
        kept = dict(values)
        self._submit(lambda: self._write_scalars(step, kept))

    def hyperparameters(self, values: Mapping[str, Any], metrics: list[str]) -> None:
        """Keep the hyperparameters where TensorBoard's own table looks for them."""
        self._submit(lambda: self._write_hyperparameters(values, metrics))

    def preview(self, step: int, draw: Callable[[], "Image"]) -> None:
        """Keep a picture of a step; `draw` makes it in the background."""
        self._submit(lambda: self._write_preview(step, draw()))

    def tensor(self, name: str, value: Tensor, step: int | None = None) -> None:
        """Keep a tensor as `tensors/NAME.safetensors`, or one for each step that is given.

        Args:
            name: Letters, digits, `.`, `_` and `-`.
            value: Any shape; it is copied at once, so it may change afterwards.
            step: Where on the run's axis it belongs.

        Raises:
            ValueError: If the name could leave the folder.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError(f"{name!r} is no name for a tensor: letters, digits, `.`, `_`, `-`")
        suffix = "" if step is None else f"-{step:09d}"
        path = self._run.tensors / f"{name}{suffix}.safetensors"
        kept = value.detach().clone()
        self._submit(lambda: _write_tensor(path, name, kept))

    def event(self, kind: str, message: str, step: int = 0, **values: float) -> None:
        """Keep something interesting that happened, unless an earlier attempt has said so.

        What the background notices is kept at once, before all that it has yet to write.
        """
        happened = event(kind, message, step, **values)
        if _identity(happened) in self._events and kind not in REPEATED_KINDS:
            return
        self._events.add(_identity(happened))
        if threading.current_thread() is self._thread:
            self._append_event(happened)
        else:
            self._submit(lambda: self._append_event(happened))

    def result(self, values: Mapping[str, Any]) -> None:
        """Keep what the run came to."""
        kept = dict(values)
        self._submit(lambda: self._change_progress(result=kept))

    def later(self, write: Callable[[], object]) -> None:
        """Let the background thread do a piece of writing, in turn."""
        self._submit(write)

    def after_all(self, write: Callable[[], object]) -> None:
        """Let it write what may only count once all curves and events before are safe on disk."""
        self._submit(self._sync)
        self._submit(write)

    def aside(self, write: Callable[[], object]) -> None:
        """Do a long piece of writing beside all others, after those that were put aside before."""
        self._raise_failure()
        self._aside.submit(self._try, write)

    def flush(self) -> None:
        """Wait until all is written that was handed over so far, but for what is done aside.

        Raises:
            Exception: What could not be kept, if anything.
        """
        written = threading.Event()
        self._submit(written.set)
        while not written.wait(FAILURE_SEEN_WITHIN_S):
            self._raise_failure()

    def close(self) -> None:
        """Write what is left and end the threads.

        Raises:
            Exception: What could not be kept, if anything.
        """
        self._aside.shutdown()
        self._work.put(None)
        self._thread.join()
        self._raise_failure()

    def _submit(self, write: Callable[[], object]) -> None:
        self._raise_failure()
        self._work.put(write)

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    # ----------------------------------------------------------------- in the background thread

    def _write(self) -> None:
        self._try(self._write_until_closed)
        for file in self._event_files.values():
            self._try(file.close)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # handed to the loop, which ends the run with it
            self.failure = self.failure or error

    def _write_until_closed(self) -> None:
        next_report = time.monotonic()
        while True:
            if time.monotonic() >= next_report:
                self._report_progress()
                next_report = time.monotonic() + PROGRESS_EVERY_S
            try:
                work = self._work.get(timeout=max(0.0, next_report - time.monotonic()))
            except queue.Empty:
                continue
            if work is None:
                self._report_progress()
                return
            work()

    def _begin(self, name: str, total: int, axis: str, done: int) -> None:
        self._rate = _Rate()
        self._progress = replace(self._progress, phase=name, total=total, axis=axis, step=done)
        self._report_progress()

    def _report_progress(self) -> None:
        for file in self._event_files.values():
            file.flush()
        rate = self._rate.observe(self._step)
        left = self._progress.total - self._step
        eta_s = left / rate if rate else None
        self._change_progress(step=self._step, rate_per_s=rate, eta_s=eta_s)

    def _change_progress(self, **changes: Any) -> None:
        self._progress = replace(self._progress, **changes)
        values, result = _finite(self._progress.values), _finite(self._progress.result)
        self._run.write_progress(replace(self._progress, values=values, result=result))

    def _sync(self) -> None:
        """Make all curves and events that were written so far survive a power cut."""
        for file in self._event_files.values():
            file.sync()
        if self._run.training_events.exists():
            with self._run.training_events.open("rb") as events:
                os.fsync(events.fileno())

    def points_at(self, step: int) -> list[tuple[str, float]]:
        """Return tag and value of all that was written at a step, if none has come after it."""
        newest, points = self._newest_points
        return list(points) if step == newest else []

    def _event_file(self, folder: Path) -> "EventFile":
        """Open an event file on first use; importing TensorBoard takes a while."""
        if folder not in self._event_files:
            from rlmaster.training.event_files import EventFile

            has_scalars = folder == self._run.tensorboard
            first_step = self._first_scalar_step if has_scalars else self._first_step
            self._event_files[folder] = EventFile(folder, first_step)
        return self._event_files[folder]

    def _write_scalars(self, step: int, values: Mapping[str, Tensor | float]) -> None:
        from torch.utils.tensorboard.summary import scalar

        numbers = {tag: float(value) for tag, value in values.items()}
        for tag, number in numbers.items():
            self._event_file(self._run.tensorboard).add(scalar(tag, number), step)
        self._newest_points = (step, [*self.points_at(step), *numbers.items()])
        self._progress = replace(self._progress, values=self._progress.values | numbers)

    def _write_hyperparameters(self, values: Mapping[str, Any], metrics: list[str]) -> None:
        from torch.utils.tensorboard.summary import hparams

        flat = {k: v if isinstance(v, bool | int | float) else str(v) for k, v in values.items()}
        for summary in hparams(flat, dict.fromkeys(metrics, 0.0)):
            self._event_file(self._run.tensorboard).add(summary)

    def _append_event(self, happened: Event) -> None:
        self._run.training_events.parent.mkdir(exist_ok=True)  # somebody may have removed it
        append_event(self._run.training_events, happened)

    def _write_preview(self, step: int, picture: "Image") -> None:
        import numpy as np
        from torch.utils.tensorboard.summary import image

        path = self._run.previews / f"step-{step:09d}.png"
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".tmp")
        picture.save(temporary, format="PNG", pnginfo=_text_chunks(picture))
        temporary.replace(path)
        summary = image("preview", np.asarray(picture), dataformats="HWC")
        self._event_file(self._run.tensorboard_images).add(summary, step)


class _Rate:
    """Steps in a second, averaged over the last few seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def observe(self, step: int) -> float:
        now = time.monotonic()
        self._seen.append((now, step))
        while len(self._seen) > 2 and self._seen[1][0] < now - RATE_MEMORY_S:
            self._seen.pop(0)
        first_time, first_step = self._seen[0]
        return (step - first_step) / (now - first_time) if now > first_time else 0.0


def _identity(happened: Event) -> tuple[str, int, str]:
    """Return what an event shares with itself where a resume comes by its step again."""
    message = happened.message if happened.kind == "note" else ""  # a step may have several
    return happened.kind, happened.step, message


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out NaN and infinities, which JSON has no word for."""
    return {
        name: value
        for name, value in values.items()
        if not isinstance(value, float) or math.isfinite(value)
    }


def _text_chunks(picture: "Image") -> Any:
    """Keep a picture's notes, such as where its zoomed panels lie, as PNG text."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for key, value in picture.info.items():
        chunks.add_text(str(key), str(value))
    return chunks


def _write_tensor(path: Path, name: str, value: Tensor) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({name: value.to("cpu").contiguous()}, temporary)
    temporary.replace(path)


def to_numpy(images: Tensor) -> Any:
    """Return images `(B, 1, H, W)` in [0, 1] as uint8 `(B, H, W)`, waiting for the device."""
    with torch.no_grad():
        return (images[:, 0].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
