"""Jinja filters: times, durations, numbers, digests and JSON for reading."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup, escape

from contracts.event import parse_time
from services.kit import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.projector.views import TimelineEntry
    from services.projector.web.people import Directory

MINUTE, HOUR, DAY = 60, 3600, 86_400
_NOISE = re.compile(
    r"(?P<hex>\b[0-9a-f]{40,64}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)"
    r"|(?P<who>\b[a-z]+:[A-Za-z0-9_.-]*[A-Za-z0-9])"
)
_JSON_TOKEN = re.compile(
    r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)'
)


def moment(text: str) -> datetime:
    """Read a wire time as UTC."""
    return parse_time(text).astimezone(UTC)


def span(seconds: float | None) -> str:
    """Return a duration in at most two units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds is None:
        return "–"
    whole = round(abs(seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    large, name, small, part = (HOUR, "h", MINUTE, "min") if whole < DAY else (DAY, "d", HOUR, "h")
    rest = whole % large // small if whole < 10 * DAY else 0
    return f"{whole // large} {name}" + (f" {rest} {part}" if rest else "")


def coarse(seconds: float) -> str:
    """Return a duration in one unit: `3 h`."""
    return " ".join(span(seconds).split(" ")[:2])


def relative(text: str) -> str:
    """Return `just now`, `4 min ago`, `in 3 d`; beyond two months the date."""
    then = moment(text)
    seconds = (clock.now() - then).total_seconds()
    if abs(seconds) < MINUTE:
        return "just now"
    if abs(seconds) > 60 * DAY:
        return f"{then:%-d %b %Y}"
    return f"{coarse(seconds)} ago" if seconds > 0 else f"in {coarse(seconds)}"


def stamp(text: str) -> str:
    """Return the full time: `23 Nov 2026, 17:02:11 UTC`."""
    return f"{moment(text):%-d %b %Y, %H:%M:%S} UTC"


def ago(text: str | None) -> Markup:
    """Return a `<time>` that reads relatively and has the exact moment in its title."""
    return _time(text, relative(text)) if text else Markup("–")


def at_clock(text: str | None) -> Markup:
    """Return a `<time>` that reads as time of day, for lists that are grouped by day."""
    return _time(text, f"{moment(text):%H:%M}") if text else Markup("–")


def at_day(text: str | None) -> Markup:
    """Return a `<time>` that reads as day and time: `23 Nov, 17:02`, with another year named."""
    if not text:
        return Markup("–")
    year = "" if moment(text).year == clock.now().year else f" {moment(text):%Y}"
    return _time(text, f"{moment(text):%-d %b}{year}, {moment(text):%H:%M}")


def since(text: str | None) -> str:
    """Return how long ago, as a duration: `3 h 20 min`."""
    return span((clock.now() - moment(text)).total_seconds()) if text else "–"


def passed(text: str) -> bool:
    """Say whether a moment lies behind us."""
    return moment(text) <= clock.now()


def day(text: str) -> str:
    """Return the heading of a day of record: `Recorded today, 23 November 2026`."""
    then, today = moment(text).date(), clock.now().astimezone(UTC).date()
    name = {0: "today", 1: "yesterday"}.get((today - then).days, f"on {then:%A}")
    return f"Recorded {name}, {then:%-d %B %Y}"


def short_day(text: str) -> str:
    """Return `23 Nov`."""
    return f"{moment(text):%-d %b}"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with separators; unknown is a dash, never zero."""
    return "–" if value is None else f"{value:,.{digits}f}"


def rate(per_day: float | None) -> tuple[str, str]:
    """Return a rate in the unit in which it reads best: (`1.4`, `a day`) or (`3.2`, `a week`)."""
    if per_day is None:
        return "–", ""
    if per_day >= 1 or per_day == 0:
        return f"{per_day:.1f}", "a day"
    if per_day >= 1 / 7:
        return f"{per_day * 7:.1f}", "a week"
    return f"{per_day * 30:.1f}", "a month"


def figure(value: float | None, unit: str, like: float | None = None) -> str:
    """Return a KPI's value with its unit; a rate in the unit in which `like` reads best."""
    if unit != "per_day":
        return span(value)
    name = rate(value if like is None else like)[1]
    per = {"a day": 1, "a week": 7, "a month": 30}.get(name)
    return "–" if value is None or per is None else f"{value * per:.1f} {name}"


def short(text: str | None) -> str:
    """Return the recognisable part of a digest, a commit or a change reference."""
    if not text:
        return "–"
    head, _, tail = text.rpartition("@") if "@" in text else text.rpartition(":")
    tail = tail[:12] if text.startswith("sha256:") else tail[:8]
    return f"{head.rpartition('/')[2]}@{tail}" if "@" in text else tail


def units(text: str) -> Markup:
    """Make the units of a duration smaller than its numbers."""
    parts = (
        Markup("{}").format(part) if part.isdecimal() else Markup("<small>{}</small>").format(part)
        for part in text.split(" ")
    )
    return Markup(" ").join(parts)


def named(name: str, value: float | None) -> str:
    """Return a side figure: a name with `_to_` in it, from one event to another, is a duration."""
    if value is None:
        return "unknown"
    if "_to_" in name:
        return span(value)
    return number(value, 0 if float(value).is_integer() else 1)


def by_day(entries: Iterable[TimelineEntry]) -> list[tuple[str, list[TimelineEntry]]]:
    """Group a timeline by the day on which things were recorded: that day never runs backwards."""
    grouped = groupby(entries, key=lambda entry: day(entry.recorded_at))
    return [(heading, list(group)) for heading, group in grouped]


def happened(entry: TimelineEntry) -> str:
    """Say when it happened: the clock alone if that was the day on which it was recorded."""
    same_day = short_day(entry.occurred_at) == short_day(entry.recorded_at)
    return at_clock(entry.occurred_at) if same_day else at_day(entry.occurred_at)


def calm(text: str, directory: Directory) -> Markup:
    """Make what machines wrote readable: names of people, short digests, times without noise."""

    def shorter(found: re.Match[str]) -> str:
        whole = found[0]
        if found["hex"]:
            return Markup('<span title="{}">{}…</span>').format(whole, whole[:12])
        if found["time"]:
            return at_day(whole)
        person = directory.find(whole)
        shown = Markup('<span title="{}">{}</span>')
        return shown.format(whole, person.name) if person else whole

    return Markup(_NOISE.sub(shorter, str(escape(text))))  # noqa: S704 - escaped before


def segment(text: str) -> str:
    """Quote an id as one segment of a path."""
    return quote(text, safe="")


def pretty(value: Any) -> Markup:
    """Return JSON, indented, escaped, with its tokens marked for the eye."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    parts, last = [], 0
    for found in _JSON_TOKEN.finditer(text):
        parts += [escape(text[last : found.start()]), _token(found)]
        last = found.end()
    return Markup("").join([*parts, escape(text[last:])])


def _token(found: re.Match[str]) -> Markup:
    string, colon, constant, numeral = found.groups()
    if string is None:
        return Markup('<b class="j-n">{}</b>').format(constant or numeral)
    kind = "j-k" if colon else "j-s"
    return Markup('<b class="{}">{}</b>{}').format(kind, string, colon or "")


def _time(text: str, shown: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, stamp(text), shown)


FILTERS = {
    "span": span, "relative": relative, "stamp": stamp, "ago": ago, "at_clock": at_clock,
    "at_day": at_day, "since": since, "passed": passed, "day": day,
    "short_day": short_day, "number": number,
    "rate": rate, "short": short, "segment": segment, "pretty": pretty,
    "units": units, "calm": calm, "by_day": by_day, "happened": happened,
}  # fmt: skip
