"""Desktop notices whose delivery is known, each sent once however many programs follow a run.

The Notify call goes over D-Bus directly and its reply is checked, because a library that hides
errors cannot say whether anybody was told. Source: Desktop Notifications Specification 1.2,
org.freedesktop.Notifications.Notify.
"""

import asyncio
import html
import os
from dataclasses import dataclass
from pathlib import Path

from rlmaster.events import Severity

DEADLINE_S = 3.0
URGENCY = {Severity.INFO: 0, Severity.GOOD: 1, Severity.WARNING: 1, Severity.ERROR: 2}


@dataclass(frozen=True)
class Delivery:
    """Whether a notice reached a notification daemon."""

    delivered: bool
    note: str = ""
    """Why not, in one sentence."""


def notify_desktop(title: str, body: str, severity: Severity = Severity.INFO) -> Delivery:
    """Show a notice on the desktop and say whether a daemon took it.

    Args:
        title: One line; shown as plain text.
        body: A few lines; whatever looks like markup is shown as it is written.
        severity: How much it should disturb.
    """
    if not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return Delivery(False, "there is no desktop session here")
    try:
        return asyncio.run(asyncio.wait_for(_notify(title, body, severity), DEADLINE_S))
    except TimeoutError:
        return Delivery(False, "the desktop session does not answer")
    except Exception as error:  # dbus-fast raises many kinds for a bus that is gone or broken
        return Delivery(False, f"the desktop session cannot be reached ({error})")


async def _notify(title: str, body: str, severity: Severity) -> Delivery:
    from dbus_fast import Message, MessageType, Variant
    from dbus_fast.aio import MessageBus

    bus = await MessageBus().connect()
    try:
        hints = {"urgency": Variant("y", URGENCY[severity])}
        reply = await bus.call(
            Message(
                destination="org.freedesktop.Notifications",
                path="/org/freedesktop/Notifications",
                interface="org.freedesktop.Notifications",
                member="Notify",
                signature="susssasa{sv}i",
                body=["RLmaster", 0, "", title, html.escape(body), [], hints, -1],
            )
        )
    finally:
        bus.disconnect()
    if reply.message_type is not MessageType.METHOD_RETURN:
        return Delivery(False, f"no notification daemon took it ({reply.error_name})")
    return Delivery(True)


def claim_announcement(runs: Path, run_id: str, name: str) -> Path | None:
    """Claim what has not been announced, or return None where somebody else did.

    Claims are files in `runs/.state/`, so they outlive programs and hold between them.
    """
    claim = runs / ".state" / "announced" / run_id / name.replace("/", "_")
    try:
        claim.parent.mkdir(parents=True, exist_ok=True)
        claim.touch(exist_ok=False)
    except OSError:  # taken, or not to be had on a full disk
        return None
    return claim
