"""judge: one decision of a policy of twelve rules, without any I/O, beside writing it down as JSON.

`whole_N` folds the histories of a release with N events and judges, `judge_N` judges facts that are
folded already, `dumps_N` only makes the canonical JSON of the same decision: nobody who answers at
all can be faster. One process, so a figure is of one core.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from bench.asked import Asked
from bench.driving import tidy
from bench.report import HIGH_PERCENT, LOW_PERCENT, Book, percentile, ratio_table
from bench.story import GATE, POLICY, SIZES, START, pages
from contracts import ijson, upcasting
from services.gatekeeper.folding import fold
from services.gatekeeper.judge import judge
from services.gatekeeper.policy import load, select
from services.kit import clock

NAME = "judge"
CELLS = tuple(f"{what}_{size}" for size in SIZES for what in ("whole", "judge", "dumps"))
RATIOS = {f"vs_dumps_{size}": (f"whole_{size}", f"dumps_{size}") for size in SIZES}
"""Of times: lower is better."""
_RELEASE = "pay-2.0"
_WARM = 50


async def run(asked: Asked) -> str:
    """Measure all cells, print the tables and return the line of JSON."""
    book = Book(NAME, CELLS)
    work: dict[str, Callable[[], object]] = {}
    for size in SIZES:
        work |= _works(size)
    for cell in asked.order(CELLS):
        tidy()
        book.note(cell, _timed(work[cell], asked.seconds))
    ratios = {name: book.ratio(*pair, "p50_us") for name, pair in RATIOS.items()}
    print(book.table(), ratio_table(ratios), sep="\n\n")
    figures = book.figures()
    goals = {
        f"{figure}_{size}": figures[name]
        for size in SIZES
        for figure in ("p50_us", "p99_us")
        if (name := f"whole_{size}_{figure}") in figures
    }
    return book.line(ratios, goals | figures)


def _works(size: int) -> dict[str, Callable[[], object]]:
    told = [upcasting.history(page) for page in pages(_RELEASE, *SIZES[size])]
    assert max(page.head for page in told) == size, "the story has another length"
    facts = fold(_RELEASE, GATE, told)
    applied = select([load(POLICY)], facts)
    as_of = START + timedelta(hours=1)
    decision = judge(facts, applied, as_of)
    assert (decision.decision, len(decision.rules)) == ("allow", 12), decision.summary
    body = decision.model_dump(mode="json")
    return {
        f"whole_{size}": lambda: judge(fold(_RELEASE, GATE, told), applied, as_of),
        f"judge_{size}": lambda: judge(facts, applied, as_of),
        f"dumps_{size}": lambda: ijson.dumps(body),
    }


def _timed(work: Callable[[], object], seconds: float) -> dict[str, float]:
    """Do it again and again; return per_s, p50_us and p99_us."""
    for _ in range(_WARM):
        work()
    took: list[float] = []
    ends = clock.monotonic() + seconds
    while (began := clock.monotonic()) < ends:
        work()
        took.append(clock.monotonic() - began)
    p50, p99 = (percentile(took, one) * 1e6 for one in (LOW_PERCENT, HIGH_PERCENT))
    return {"per_s": len(took) / sum(took), "p50_us": p50, "p99_us": p99}
