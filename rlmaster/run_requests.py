"""Requests to a live run: a small file each, which its worker finds and obeys.

A request names the attempt that it is meant for, so that a late one never reaches the next.
"""

import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rlmaster.durable_files import read_json, utc_now, write_json
from rlmaster.errors import RunFolderError
from rlmaster.run_folder import RunFolder

STOP = "stop"


@dataclass(frozen=True)
class Request:
    """Something that a live run is asked to do."""

    id: str
    kind: Literal["stop"]
    attempt: int
    """Which attempt is asked."""
    asked: str
    """When, ISO 8601 in UTC."""


def ask_to_stop(run: RunFolder, attempt: int) -> Request:
    """Ask an attempt of a run to keep its work and end.

    Raises:
        RunFolderError: If the request cannot be written.
    """
    request = Request(secrets.token_hex(4), STOP, attempt, utc_now())
    try:
        run.requests.mkdir(exist_ok=True)
        write_json(run.requests / f"{STOP}-{request.id}.json", asdict(request))
    except OSError as error:
        raise RunFolderError(
            f"the request cannot be written into {run.requests} ({error.strerror or error}); "
            "free some space or check who may write there"
        ) from error
    return request


def stop_requests(run: RunFolder, attempt: int) -> list[Request]:
    """Return what an attempt is asked, oldest first; what makes no sense is passed over."""
    found = [request for path in run.requests.glob(f"{STOP}-*.json") if (request := _read(path))]
    return sorted((r for r in found if r.attempt == attempt), key=lambda request: request.asked)


def _read(path: Path) -> Request | None:
    data = read_json(path)
    try:
        return Request(**data) if data else None
    except TypeError:
        return None
