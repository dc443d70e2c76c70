"""What hosts answer about runs; nothing of it is trusted."""

from typing import Any, cast

from rlmaster.durable_files import JsonObject
from rlmaster.errors import HostError
from rlmaster.fleet.told_status import checked_status
from rlmaster.run_status import Status

LONGEST_TEXT = 4096


def status_in(answer: JsonObject, run_id: str, host: str) -> Status:
    """Return how a run stands, from what a command about runs answered.

    Raises:
        HostError: If the answer does not say, with the reason that it gives.
    """
    if row := rows_in(answer).get(run_id):
        return _status_of(row, run_id, host)
    raise HostError(f"{host} does not say how run {run_id} stands; look at it there")


def rows_in(answer: JsonObject) -> dict[str, JsonObject]:
    """Return what a host answered about each run, by its id; nothing else of it is checked."""
    return {str(row.get("run_id")): row for row in entries_in(answer, "runs")}


def entries_in(answer: JsonObject, name: str) -> list[JsonObject]:
    """Return the objects in a list of an answer; none where there is no such list."""
    found = answer.get(name)
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("JsonObject", entry) for entry in entries if isinstance(entry, dict)]


def text_in(answer: JsonObject, name: str) -> str:
    """Return a text of an answer that people can be shown; nothing where there is none."""
    text = answer.get(name)
    return text if isinstance(text, str) and _can_be_shown(text) else ""


def _status_of(row: JsonObject, run_id: str, host: str) -> Status:
    if status := checked_status(row.get("status")):
        return status
    reason = text_in(row, "error") or f"it does not say how run {run_id} stands"
    raise HostError(f"{host}: {reason}")


def _can_be_shown(text: str) -> bool:
    return len(text) <= LONGEST_TEXT and text.replace("\n", "").isprintable()
