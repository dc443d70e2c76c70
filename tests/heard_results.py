"""Stands for the recording where tests ask what results tell it."""

from typing import Any, cast

from rlmaster.training.recording import Recording


class HeardResults:
    """Remembers what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, str]] = []
        self.values: list[dict[str, float]] = []
        self.last: dict[str, Any] = {}
        self.curves: dict[int, dict[str, float]] = {}

    @property
    def as_recording(self) -> Recording:
        return cast("Recording", self)

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The events without their sentences."""
        return [(kind, step) for kind, step, _ in self.events]

    def event(self, kind: str, message: str, step: int = 0, **values: float) -> None:
        self.events.append((kind, step, message))
        self.values.append(values)

    def result(self, values: dict[str, Any]) -> None:
        self.last = dict(values)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self.curves[step] = values
