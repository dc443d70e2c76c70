"""Driving the app without a terminal: keys in, the text on the screen out, waits with a bound."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from textual.app import App
from textual.pilot import Pilot

NOW = datetime(2030, 1, 1, tzinfo=UTC)
"""What time it is in an app that is driven."""
WAIT_S = 40.0
STEP_S = 0.02

Scenario = Callable[[Pilot[Any]], Awaitable[None]]


def drive(app: App[Any], scenario: Scenario, size: tuple[int, int] = (120, 36)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await scenario(pilot)

    asyncio.run(run())


def screen_text(app: App[Any]) -> str:
    """Return what a person sees, line by line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def wait_until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    for _ in range(int(WAIT_S / STEP_S)):
        if condition():
            return
        await pilot.pause(STEP_S)
    raise AssertionError(f"it never came to be; the screen:\n{screen_text(pilot.app)}")


async def wait_for_text(pilot: Pilot[Any], text: str) -> None:
    await wait_until(pilot, lambda: text in screen_text(pilot.app))
