"""Groups of fields in an experiment that is given as plain JSON data, whoever wrote it."""

from collections.abc import Mapping
from typing import Any, cast

from rlmaster.durable_files import JsonObject


def part(experiment: Mapping[str, Any], name: str) -> JsonObject:
    """Return a group of fields, such as `environment`; empty where there is none."""
    fields = experiment.get(name)
    return cast("JsonObject", fields) if isinstance(fields, dict) else {}
