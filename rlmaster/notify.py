"""Where notices go, whether they arrived, and that each arrives once.

The desktop is told over D-Bus directly and its reply is checked, because a library that hides
errors cannot say whether anybody was told. Source: Desktop Notifications Specification 1.2,
org.freedesktop.Notifications.Notify. Everything else is pushed through Apprise.
"""

import asyncio
import fcntl
import html
import logging
import os
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rlmaster.events import Severity
from rlmaster.user_config import NOTICE_KINDS, UserConfig

DEADLINE_S = 3.0
"""For the desktop; Apprise gives a server 4 s to take the call and 4 s to answer."""
URGENCY = {Severity.INFO: 0, Severity.GOOD: 1, Severity.WARNING: 1, Severity.ERROR: 2}
SERVER_SCHEMES = ("json", "form", "xml", "ntfy", "gotify", "mailto")
"""Services whose URL names the user's own server as its host, elsewhere that may be a token."""
PUSH = "push-"
"""How the ids of the channels begin that are no desktop."""
DELIVERED = b"delivered\n"


@dataclass(frozen=True)
class Delivery:
    """Whether a notice reached somebody's desktop or a push service."""

    delivered: bool
    note: str = ""
    """Why not, and where something can be done about it, what; shows no secret."""
    channel: str = ""
    """Where it was sent, for people; shows no secret."""

    def __str__(self) -> str:
        if self.delivered:
            return f"notice delivered to {self.channel}"
        return f"notice not delivered to {self.channel}: {self.note}"


@dataclass(frozen=True)
class Channel:
    """One way to reach a person."""

    id: str
    """What claims call it: always the same for the same place, no secret, fit for a file name."""
    label: str
    """What people are shown of it; no secret."""
    kinds: frozenset[str]
    """What it is told, of NOTICE_KINDS."""
    send: Callable[[str, str, Severity], Delivery] = field(repr=False)
    """Sends a title and a body; knows the address."""

    @property
    def is_push(self) -> bool:
        """Whether it reaches people wherever they are, and from other computers as well."""
        return self.id.startswith(PUSH)

    def deliver(self, title: str, body: str, severity: Severity) -> Delivery:
        """Send a notice and say whether it arrived."""
        return replace(self.send(title, body, severity), channel=self.label)


def channels(config: UserConfig) -> list[Channel]:
    """Return every way in which a person can be reached from here."""
    found: list[Channel] = []
    if config.desktop and os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        found.append(Channel("desktop", "the desktop", frozenset(NOTICE_KINDS), notify_desktop))
    seen: Counter[str] = Counter()
    for url in dict.fromkeys(config.push):
        label = shown_url(url)
        seen[label] += 1
        if seen[label] > 1:
            label += f" ({seen[label]})"
        name = re.sub(r"[^a-z0-9.]+", "-", label).strip("-.")
        found.append(Channel(f"{PUSH}{name}", label, config.kinds, _pusher(url)))
    return found


def shown_url(url: str) -> str:
    """Return what may be shown of a push URL: its service, and its host where that is no secret."""
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:  # something that is no port, such as half of a password
        return f"{scheme}://..."
    is_server = re.fullmatch(r"localhost|([a-z0-9-]+\.)+[a-z0-9-]+", host)
    # In ntfy://topic the host is the topic; an @ further on means that a password has a slash.
    is_whole = parts.path.strip("/") or not scheme.startswith("ntfy")
    is_torn = "@" in rest and "@" not in parts.netloc
    if scheme.removesuffix("s") in SERVER_SCHEMES and is_server and is_whole and not is_torn:
        return f"{scheme}://{host}{port}"
    return f"{scheme}://..."


# ------------------------------------------------------------------------------------- delivery


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


def _pusher(url: str) -> Callable[[str, str, Severity], Delivery]:
    return lambda title, body, severity: push(url, title, body, severity)


def push(url: str, title: str, body: str, severity: Severity = Severity.INFO) -> Delivery:
    """Push a notice through Apprise and say whether the service took it.

    Args:
        url: An Apprise URL, which no part of the answer repeats.
        title: One line.
        body: A few lines; plain text, whatever the service makes of markup.
        severity: How much it should disturb.
    """
    # What Apprise logs may hold secrets, so it reaches neither a terminal nor a log.
    logging.getLogger("apprise").propagate = False
    import apprise

    notice_type = {
        Severity.INFO: apprise.NotifyType.INFO,
        Severity.GOOD: apprise.NotifyType.SUCCESS,
        Severity.WARNING: apprise.NotifyType.WARNING,
        Severity.ERROR: apprise.NotifyType.FAILURE,
    }[severity]
    # Without a timeout of its own, Apprise needs no pool of threads, which a program that ends
    # would wait for; the sockets have theirs.
    asset = apprise.AppriseAsset(app_id="RLmaster", async_mode=False, service_timeout=0)
    service: Any = apprise.Apprise(asset=asset)  # typed only in part
    try:
        if not service.add(url):
            return Delivery(
                False,
                "Apprise knows no such service, or its URL is incomplete; "
                "https://appriseit.com lists how each is written",
            )
        result = service.notify(
            body, title, notify_type=notice_type, body_format=apprise.NotifyFormat.TEXT
        )
    except Exception as error:  # of a hundred services; their messages may hold the URL
        return Delivery(False, f"Apprise failed with {type(error).__name__}")
    if result:
        return Delivery(True)
    return Delivery(False, _refusal(" ".join(entry.message for entry in result.logs())))


def _refusal(said: str) -> str:
    """Say why a service did not take a notice, from what Apprise logged."""
    code = re.search(r"error=(\d{3})\b", said)
    if not code:
        return "it did not take it, cannot be reached or does not answer; check host and port"
    known = {status.value: status.phrase for status in HTTPStatus}
    answer = f"it answered {code[1]} {known.get(int(code[1]), '')}".strip()
    if int(code[1]) in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        return f"{answer}; check the name, the token or password, and the path in its URL"
    return f"{answer}; try again later"


# --------------------------------------------------------------------------------------- claims


def deliver_once(claim: Path, deliver: Callable[[], Delivery]) -> Delivery | None:
    """Deliver a notice unless it was delivered before, by whichever process on this computer.

    The claim is a file that is locked during the delivery and says afterwards that it is done. So
    others wait for the outcome, and one of them delivers where the first failed or was killed.
    Where no claim can be made, on a full disk, the notice is told: better twice than never.

    Args:
        claim: The file, whose folder need not exist.
        deliver: Sends the notice.

    Returns:
        How it went, or None where it had been delivered.
    """
    try:
        handle = _locked(claim)
    except OSError:
        return deliver()
    try:
        if os.pread(handle, len(DELIVERED), 0) == DELIVERED:
            return None
        with suppress(OSError):  # room for the word, which a full disk may not have later
            os.pwrite(handle, bytes(len(DELIVERED)), 0)
        delivery = deliver()
        if delivery.delivered:
            with suppress(OSError):
                os.pwrite(handle, DELIVERED, 0)
        return delivery
    finally:
        os.close(handle)


def _locked(claim: Path) -> int:
    """Open a file and lock it, once nobody else holds it."""
    claim.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(claim, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        raise
    return handle
