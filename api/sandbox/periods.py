"""When a subscription's periods begin and end.

All of them are counted from one anchor, so that the 31st comes back after a short month.
"""

import calendar
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

DAY = 24 * 3600
WEEK = 7 * DAY
MONTHS = {"month": 1, "year": 12}


def boundary(anchor: int, recurring: Mapping[str, Any], number: int) -> int:
    """The end of the period of that number, the first being 1; the anchor itself is 0."""
    count = number * int(recurring["interval_count"])
    months = MONTHS.get(recurring["interval"])
    if months is None:
        return anchor + count * (WEEK if recurring["interval"] == "week" else DAY)
    return _months_later(anchor, count * months)


def end_after(anchor: int, recurring: Mapping[str, Any], moment: int) -> int:
    """The first boundary after a moment."""
    number = max(0, (moment - anchor) // _longest(recurring))
    while (found := boundary(anchor, recurring, number)) <= moment:
        number += 1
    return found


def _longest(recurring: Mapping[str, Any]) -> int:
    """No period is longer than this, so that counting can begin near the end."""
    days = {"day": 1, "week": 7, "month": 31, "year": 366}[recurring["interval"]]
    return days * DAY * int(recurring["interval_count"])


def _months_later(moment: int, months: int) -> int:
    start = datetime.fromtimestamp(moment, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    later = start.replace(year=year, month=month + 1, day=min(start.day, last))
    return int(later.timestamp())
