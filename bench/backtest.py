"""backtest: every decision of a generated history judged again by a candidate, on one core.

`backtest` is the product's: for each decision the histories as they were then, folded and judged.
`parse` only reads the JSON of the same histories, decision by decision: nobody who keeps nothing
between two decisions can be faster. Rates are in decisions.
"""

from __future__ import annotations

import json

from bench.asked import Asked
from bench.driving import tidy
from bench.history import decided, generated
from bench.report import Book, ratio_table
from bench.story import POLICY
from contracts import ijson
from services.gatekeeper.backtesting import Remembered, backtest
from services.gatekeeper.policy import load
from services.kit import clock

NAME = "backtest"
CELLS = ("backtest", "parse")
_DECISIONS = 1_000
_CANDIDATE = POLICY.replace("min_coverage: 70", "min_coverage: 82").replace("1d}", "3d}")
"""Stricter: some verdicts change."""


async def run(asked: Asked) -> str:
    """Measure both cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    history = await generated(asked.chance, _DECISIONS)
    texts = _texts(history)
    for cell in asked.order(CELLS):
        tidy()
        done, began = 0, clock.monotonic()
        while clock.monotonic() - began < asked.seconds:
            done += await _judged(history) if cell == "backtest" else _parsed(texts)
        book.note(cell, {"per_s": done / (clock.monotonic() - began)})
    ratios = {"vs_parse": book.ratio("backtest", "parse", "per_s")}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    figures = book.figures()
    if "backtest_per_s" in figures:
        figures["per_second"] = figures["backtest_per_s"]
    return book.line(ratios, figures)


async def _judged(history: Remembered) -> int:
    found = await backtest(history, "main", load(_CANDIDATE))
    assert found.covered == found.decisions >= _DECISIONS, (found.covered, found.decisions)
    assert found.changes, "no verdict has changed"
    return found.decisions


def _texts(history: Remembered) -> list[bytes]:
    """Return for each decision the bytes of the histories that it rests on."""
    held: dict[str, list[ijson.Json]] = {}
    for event in history.events:
        said = event.model_dump(mode="json")
        for subject in event.versions:
            held.setdefault(subject, []).append(said)
    texts = []
    for event in decided(history):
        read: dict[str, int] = event.data["decision"]["read_set"]
        pages: list[ijson.Json] = [held[key][:to] for key, to in read.items() if to]
        texts.append(ijson.dumps(pages))
    return texts


def _parsed(texts: list[bytes]) -> int:
    for text in texts:
        json.loads(text)
    return len(texts)
