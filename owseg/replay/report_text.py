"""Numbers, times and names as text. A figure that is missing or not finite is a dash."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

MISSING = "–"
THIN = "\u202f"
"""Narrow no-break space between a number and its unit."""

_EARLIEST_NS = 946_684_800 * 10**9  # year 2000: below it, stamps count from the start of a robot
_LATEST_NS = 4_102_444_800 * 10**9  # year 2100
_LONGEST_TEXT = 300


def number(value: Any) -> float | None:
    """Return a finite number as float, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def decimal(value: Any, unit: str = "") -> str:
    """Write three significant digits, e.g. "21.4 ms"; larger numbers as a whole."""
    checked = number(value)
    if checked is None:
        return MISSING
    size = abs(checked)
    places = 0 if size >= 99.95 else 1 if size >= 9.995 else 2
    text = f"{checked:,.{places}f}".replace(",", THIN)
    return text + (THIN + unit if unit else "")


def percent(share: Any, places: int = 1) -> str:
    """Write a share of 1 in percent, e.g. "94.7 %"; close to 0 and to 1 with one more digit."""
    checked = number(share)
    if checked is None:
        return MISSING
    if 0 < abs(checked) < 0.00995 or 0.9995 <= checked < 1:
        places += 1
    return f"{checked * 100:.{places}f}{THIN}%"


def count(value: Any, noun: str = "") -> str:
    """Write a whole number in groups of three, with a noun in the right form."""
    checked = number(value)
    if checked is None:
        return MISSING
    text = f"{round(checked):,}".replace(",", THIN)
    if not noun:
        return text
    return f"{text} {noun}" + ("" if round(checked) == 1 else "s")


def clock(seconds: float, places: int = 0) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    ticks = round(max(0.0, seconds) * 10**places)
    whole, rest = divmod(ticks, 10**places)
    hours, minutes, secs = whole // 3600, whole // 60 % 60, whole % 60
    text = f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"
    return f"{text}.{rest:0{places}d}" if places else text


def moment(stamp_ns: int) -> str | None:
    """Write a stamp as date and time in UTC; None where it is not a date of this century."""
    if not _EARLIEST_NS <= stamp_ns < _LATEST_NS:
        return None
    at = datetime.fromtimestamp(stamp_ns // 10**9, timezone.utc)
    return f"{at.day} {at:%B %Y, %H:%M:%S} UTC"


def facts(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List nested content as rows of name and value, without what is missing or not finite."""
    return [(name, text) for name, value in _leaves(content, ()) if (text := _text(value))]


def _leaves(content: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        here = (*path, str(key).replace("_", " "))
        if isinstance(value, Mapping):
            yield from _leaves(value, here)
        else:
            yield " / ".join(here), value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    if isinstance(value, (list, tuple)):
        return _short(", ".join(text for item in value if (text := _text(item))))
    return "" if value is None else _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
