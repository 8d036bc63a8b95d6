"""The statistics and the report of the benchmarks, on known answers."""

from __future__ import annotations

import json
import random

import pytest

from bench.report import Book, Spread, latencies, percentile, ratio_table, shuffled, spread


def test_a_percentile_is_a_value_that_was_measured() -> None:
    hundred = [float(n) for n in range(100, 0, -1)]
    assert percentile(hundred, 50) == 50
    assert percentile(hundred, 99) == 99
    assert percentile(hundred, 100) == 100
    assert percentile([7.0], 99) == 7
    assert percentile([1.0, 2.0], 50) == 1


def test_nothing_measured_is_an_error_and_no_zero() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_latencies_are_milliseconds() -> None:
    assert latencies([0.25, 0.5]) == {"p50_ms": 250, "p99_ms": 500}


def test_a_spread_has_the_middle_of_the_rounds() -> None:
    assert spread([3.0, 1.0, 9.0]) == Spread(1, 3, 9)
    assert spread([1.0, 2.0]) == Spread(1, 1.5, 2)


def test_a_ratio_compares_same_rounds_and_not_medians() -> None:
    book = Book("b", ["ours", "theirs"])
    for ours, theirs in ((10, 10), (40, 80), (90, 30)):
        book.note("theirs", {"per_s": theirs})
        book.note("ours", {"per_s": ours})
    # Of 1, 0.5 and 3; the medians would say 1.33.
    assert book.ratio("ours", "theirs", "per_s") == Spread(0.5, 1, 3)


def test_cells_with_unequal_rounds_are_not_compared() -> None:
    book = Book("b", ["ours", "theirs"])
    for _ in range(2):
        book.note("ours", {"per_s": 1})
    book.note("theirs", {"per_s": 1})
    with pytest.raises(ValueError, match="shorter"):
        book.ratio("ours", "theirs", "per_s")


def test_every_round_has_every_cell_once_and_orders_differ() -> None:
    cells = [f"c{n}" for n in range(8)]
    order = list(shuffled(cells, 5, random.Random(1)))
    rounds = [tuple(order[n : n + 8]) for n in range(0, 40, 8)]
    assert all(sorted(one) == cells for one in rounds)
    assert len(set(rounds)) > 1


def test_a_peer_that_is_not_there_has_no_ratio() -> None:
    book = Book("b", ["ours", "theirs"])
    book.note("ours", {"per_s": 1})
    assert book.ratio("ours", "theirs", "per_s") is None
    line = json.loads(book.line({"vs_theirs": None}, book.figures()))
    assert line["ratios"] == {"vs_theirs": None}


def test_the_table_shows_minimum_median_and_maximum() -> None:
    book = Book("b", ["append_1", "raw", "left_out"])
    for value in (1234.5, 2.0, 33.333):
        book.note("append_1", {"per_s": value, "p50_ms": 7.0})
    book.note("raw", {"per_s": 5.0})
    lines = [line.split() for line in book.table().splitlines()]
    assert lines == [
        ["cell", "per_s", "p50_ms"],
        ["append_1", "2.00/33.33/1234", "7.00"],
        ["raw", "5.00", "–"],
    ]
    assert len(set(map(len, book.table().splitlines()))) == 1


def test_the_table_of_ratios_says_what_was_not_measured() -> None:
    rows = ratio_table({"vs_raw": Spread(0.5, 1, 3), "vs_peer": None}).splitlines()
    assert [row.split() for row in rows[1:]] == [["vs_raw", "0.50/1.00/3.00"], ["vs_peer", "–"]]


def test_the_last_line_is_one_json_object() -> None:
    book = Book("append", ["raw"])
    book.note("raw", {"per_s": 1234.5678, "p50_ms": 0.123456})
    line = book.line({"vs_raw": Spread(0.1, 2 / 3, 1)}, book.figures())
    assert "\n" not in line
    assert json.loads(line) == {
        "bench": "append",
        "ratios": {"vs_raw": 0.667},
        "figures": {"raw_per_s": 1235, "raw_p50_ms": 0.1235},
    }
