"""What a run came to, in one plain sentence for terminal, notification and report alike."""

import math
from collections.abc import Mapping
from typing import Any

from rlmaster.run_folder import Progress


def result_sentence(progress: Progress) -> str:
    """Say what the run came to: `Held-out error fell from 0.0127 to 0.000410, a factor of 31.`.

    Of what is better the higher, such as a return, no factor is named: it may begin below zero.
    Empty while there is no result, and where what was recorded is no number.
    """
    result = progress.result
    value, before, best = (_number(result.get(key)) for key in ("value", "before", "best"))
    if value is None:
        return ""
    metric = metric_name(str(result.get("name") or result.get("metric") or "result"))
    if not math.isfinite(value):
        return f"{metric} is not a finite number."
    unit = f" ({result['unit']})" if result.get("unit") else ""
    if before is None or not math.isfinite(before):
        change, factor = f"is {rounded(value)}", ""
    else:
        change = _change(before, value)
        factor = "" if result.get("higher_is_better") is True else _factor(before, value)
    addition = ""
    if best is not None and math.isfinite(best) and rounded(best) != rounded(value):
        addition = f"; its best was {rounded(best)}"
    return f"{metric} {change}{unit}{factor}{addition}.{_ball(result)}{_human(result)}"


def _ball(result: Mapping[str, Any]) -> str:
    """Say how often an embedder still draws the ball, where that was measured."""
    found = _number(result.get("canonical/ball_found"))
    if found is None or not 0 <= found <= 1:
        return ""
    return f" The ball is found in {found:.0%} of the frames that show one."


def _human(result: Mapping[str, Any]) -> str:
    """Say where a return lies between random play's and a human's, where that is known."""
    score = _number(result.get("evaluation/human_normalised"))
    if score is None or not math.isfinite(score):
        return ""
    return f" Human-normalised score {score:.0%} (random play is 0%, a human 100%)."


def metric_name(tag: str) -> str:
    """Return a tag as words: `held_out/foreground_error` is `Held-out foreground error`."""
    words = tag.replace("held_out", "held-out").replace("/", " ").replace("_", " ").split()
    name = " ".join(words) or tag
    return name[:1].upper() + name[1:]


def rounded(value: float) -> str:
    """Return a number to three significant digits, with thousands kept whole."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:#.3g}".rstrip(".")


def _change(before: float, value: float) -> str:
    if rounded(before) == rounded(value):
        return f"stayed at {rounded(value)}"
    verb = "fell" if value < before else "rose"
    return f"{verb} from {rounded(before)} to {rounded(value)}"


def _factor(before: float, value: float) -> str:
    """Name the ratio of change, where there is one worth naming."""
    if before <= 0 or value <= 0:
        return ""
    ratio = max(before / value, value / before)
    if ratio < 1.05:
        return ""
    return f", a factor of {ratio:,.0f}" if ratio >= 10 else f", a factor of {ratio:.1f}"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
