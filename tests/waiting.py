"""Waiting for a condition, with a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], bound_s: float = 20.0) -> T:
    """Return the first true answer of a condition; fail where there is none in time."""
    deadline = time.monotonic() + bound_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited for {bound_s:.0f} s in vain"
        time.sleep(0.02)
    return answer
