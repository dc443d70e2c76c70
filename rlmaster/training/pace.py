"""How fast training is."""

import time


class Pace:
    """Updates in a second, not counting the time that evaluations take."""

    def __init__(self, step: int) -> None:
        """Start at an update."""
        self.restart(step)

    def restart(self, step: int) -> None:
        """Count from an update and from now on."""
        self._step, self._time_s = step, time.perf_counter()

    def lap(self, step: int) -> float:
        """Return the updates per second since the last start."""
        return (step - self._step) / (time.perf_counter() - self._time_s)
