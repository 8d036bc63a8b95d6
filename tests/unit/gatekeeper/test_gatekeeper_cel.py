"""Expressions: what they may say, what they see, and that nothing but a true is a yes."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any

import pytest

from services.gatekeeper import cel
from services.gatekeeper.cel import CelError, CelFaultsError, Fault
from services.gatekeeper.cel_facts import (
    MAX_ITEMS,
    Approval,
    CelFacts,
    CelMetrics,
    Deployment,
    Evidence,
    Release,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RELEASE = Release(
    id="pay-1.42",
    type="major",
    risk="high",
    version="1.42.0",
    digest="sha256:aa",
    services=("pay", "ledger"),
    labels=("pci",),
    artifacts=("sha256:bb",),
    changes=("acme/pay@9fceb02",),
)
FACTS = CelFacts(
    RELEASE,
    (
        Deployment(NOON - timedelta(hours=30), "d-1", "staging", "sha256:aa", "succeeded"),
        Deployment(NOON - timedelta(minutes=59), "d-2", "production", "sha256:cc", "succeeded"),
    ),
    (
        Approval(NOON, "dev:ada", "deploy:production", approved=True, roles=("sre", "dba")),
        Approval(NOON, "dev:bob", "deploy:production", approved=False, roles=("cab",)),
    ),
    (Evidence(NOON, "tests", "unit", "sha256:aa", "success", {"coverage": 81.5, "failed": 0.0}),),
)


def ask(text: str, facts: CelFacts = FACTS, as_of: datetime = NOON) -> bool | CelError:
    return cel.evaluate(cel.compile(text, "rule"), facts, as_of)


def measure(text: str, metrics: Mapping[str, Any]) -> bool | CelError:
    return cel.evaluate(cel.compile(text, "metrics"), CelMetrics(metrics), NOON)


def faults(text: str, scope: cel.Scope = "rule") -> list[Fault]:
    with pytest.raises(CelFaultsError) as caught:
        cel.compile(text, scope)
    return caught.value.faults


@pytest.mark.parametrize(
    "text",
    [
        "release.id == 'pay-1.42' && release.type == 'major' && release.risk == 'high'",
        "release.version == '1.42.0' && release.digest == 'sha256:aa'",
        "'pay' in release.services && 'pci' in release.labels",
        "release.artifacts[0] == 'sha256:bb' && release.changes.exists(c, c.startsWith('acme/'))",
        "release.incident == '' && !has(release.incident)",
        "deployments.exists(d, d.environment == 'staging' && d.digest == release.digest)",
        "deployments.all(d, d.state == 'succeeded') && deployments[1].id == 'd-2'",
        "approvals.filter(a, a.approved && 'sre' in a.roles).size() == 1",
        "approvals.exists(a, a.principal == 'dev:bob' && !a.approved && a.at == now)",
        "approvals.all(a, a.gate == 'deploy:production')",
        "evidence.exists(e, e.kind == 'tests' && e.metrics['coverage'] >= 80.0)",
        "evidence[0].series == 'unit' && evidence[0].about == release.digest",
        "evidence[0].outcome == 'success' && !('passed' in evidence[0].metrics)",
        "now - deployments[0].at == duration('30h')",
        "now.getHours('+01:00') == 13",
    ],
)
def test_an_expression_sees_each_fact(text: str) -> None:
    assert ask(text) is True
    assert ask(f"!({text})") is False


def test_what_is_not_known_is_empty() -> None:
    text = "release.id + release.risk + release.incident == '' && release.services == []"
    assert ask(
        f"{text} && deployments.size() + approvals.size() + evidence.size() == 0", CelFacts()
    )


def test_now_is_the_instant_that_was_asked_about_to_the_microsecond() -> None:
    late = NOON + timedelta(microseconds=123456)
    text = "now == timestamp('2026-03-01T12:00:00.123456Z')"
    assert ask(text, as_of=late) is True
    assert ask(text, as_of=late.astimezone(timezone(timedelta(hours=5)))) is True
    assert ask(text) is False


def test_a_threshold_sees_the_metrics_of_one_evidence() -> None:
    text = "m['coverage'] >= 80.0 && m['failed'] == 0.0"
    assert measure(text, {"coverage": 80.0, "failed": 0}) is True
    assert measure(text, {"coverage": 79.9, "failed": 0}) is False


def test_a_metric_that_is_missing_is_an_error_unless_the_answer_is_certain_without_it() -> None:
    text = "m['coverage'] >= 80.0 && m['failed'] == 0.0"
    assert measure(text, {"failed": 0.0}) == CelError("no such key: coverage")
    assert measure(text, {"failed": 3.0}) is False
    assert measure("!(m['coverage'] < 80.0)", {}) == CelError("no such key: coverage")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1 / 0 == 1", "divide by zero"),
        ("deployments[7].id == ''", "Index error: index=7 size=2"),
        ("timestamp(release.id) < now", "String to Timestamp conversion failed"),
        ("release.id.matches('(')", "invalid regular expression: missing ): ("),
        ("dyn(release.id) ? true : false", "No matching overloads found"),
        ("[1].map(a, [1, 2]).all(x, dyn(x) == 'a' || dyn(x) + 1 == 2)", "No matching overloads"),
    ],
)
def test_an_error_of_the_engine_is_no_answer_and_says_why(text: str, sentence: str) -> None:
    answer = ask(text)
    assert isinstance(answer, CelError)
    assert answer.text.startswith(sentence)


def test_an_error_can_be_taken_neither_for_true_nor_for_false() -> None:
    error = ask("1 / 0 == 1")
    with pytest.raises(TypeError, match="divide by zero"):
        bool(error)
    with pytest.raises(TypeError, match="divide by zero"):
        assert not error


def test_loops_beyond_the_budget_of_the_engine_are_an_error() -> None:
    nested = "release.services.exists(a, " * 14 + "false" + ")" * 14
    assert ask(nested) == CelError("Iteration budget exceeded")


def test_text_of_facts_is_data_whatever_it_holds() -> None:
    odd = CelFacts(Release(id="a\0b", labels=("') || true || ('", "\N{GREEK SMALL LETTER PI}")))
    assert ask(r"release.id == 'a\u0000b' && size(release.labels[1]) == 1", odd) is True
    assert ask("'true' in release.labels", odd) is False


@pytest.mark.parametrize(
    "facts",
    [
        CelFacts(Release(id="\ud800")),
        CelFacts(Release(id=7)),  # type: ignore[arg-type]
        CelFacts(Release(services=(None,))),  # type: ignore[arg-type]
        CelFacts(deployments=(Deployment(NOON.replace(tzinfo=None)),)),
        CelFacts(deployments=(Deployment("yesterday"),)),  # type: ignore[arg-type]
        CelFacts(evidence=(Evidence(NOON, metrics={"a": "b"}),)),  # type: ignore[dict-item]
        CelMetrics({"coverage": 1.0}),
        None,
    ],
)
def test_facts_that_cannot_be_bound_are_an_error(facts: Any) -> None:
    answer = ask("true", facts)
    assert isinstance(answer, CelError)
    assert answer.text


@pytest.mark.parametrize("metrics", [{"a\0b": 1.0}, {"a": "1"}, {"\ud800": 1.0}, {1: 1.0}, [1.0]])
def test_metrics_that_cannot_be_bound_are_an_error(metrics: Any) -> None:
    assert isinstance(measure("true || m['a'] == 1.0", metrics), CelError)


def test_an_instant_without_a_zone_is_an_error() -> None:
    answer = ask("true", as_of=NOON.replace(tzinfo=None))
    assert answer == CelError("a time without a zone is no instant")


def test_facts_are_taken_up_to_their_cap() -> None:
    room = cel.MAX_FACTS - CelFacts(Release(id="x" * 200_000)).message.ByteSize() + 200_000
    assert ask("size(release.id) > 0", CelFacts(Release(id="x" * room))) is True
    assert ask("size(release.id) > 0", CelFacts(Release(id="x" * (room + 1)))) == CelError(
        "the facts take 262145 bytes, and 262144 are the most"
    )


def test_a_list_is_taken_up_to_its_cap() -> None:
    many = tuple(map(str, range(MAX_ITEMS)))
    assert ask("release.changes.size() == 2000", CelFacts(Release(changes=many))) is True
    answer = ask("true", CelFacts(Release(changes=(*many, "one more"))))
    assert answer == CelError("a list has 2001 items, and 2000 are the most")


def test_all_faults_of_a_text_are_named_with_their_places() -> None:
    assert faults("release.ids == ''\n  && nobody(7) || release.id == 1") == [
        Fault(1, 8, "undefined field 'ids' not found in struct 'Release'"),
        Fault(2, 12, "undeclared reference to 'nobody'"),
        Fault(2, 30, "found no matching overload for '_==_' applied to '(string, int)'"),
    ]


def test_columns_count_characters() -> None:
    assert faults("'π😀' == x") == [Fault(1, 9, "undeclared reference to 'x'")]


@pytest.mark.parametrize("text", ["", "1 +", "release.", "'abc", "a b", "&& true", "true;"])
def test_a_text_that_is_no_expression_is_a_fault(text: str) -> None:
    assert all(fault.text.startswith("Syntax error") for fault in faults(text))


@pytest.mark.parametrize(
    ("text", "type_"),
    [("1", "int"), ("release", "release"), ("dyn(true)", "dyn"), ("[true]", "list<bool>")],
)
def test_an_expression_must_be_true_or_false(text: str, type_: str) -> None:
    sentence = f"must be true or false (bool), and is of type {type_}"
    assert faults(text) == [Fault(1, 1, sentence)]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("{'a': 1}.map(k, k) == ['a']", [(1, 1)]),
        ("evidence.all(e,\n  e.metrics.exists(k, k == 'a'))", [(2, 4)]),
        ("'😀' != '' && dyn(release.labels).all(x, x == 'a')", [(1, 17)]),
        ("size({1: 1}.filter(k, true)) == {2: [1].map(x, {3: x}.all(k, true))}.size()",
         [(1, 6), (1, 48)]),
    ],
)  # fmt: skip
def test_a_loop_over_a_map_is_a_fault_because_its_order_is_chance(
    text: str, places: list[tuple[int, int]]
) -> None:
    sentence = "a loop must run over a list: the order of a map is chance"
    assert faults(text) == [Fault(line, column, sentence) for line, column in places]


def test_a_map_is_asked_by_its_keys() -> None:
    assert ask("evidence.exists(e, 'failed' in e.metrics && size(e.metrics) == 2)") is True
    assert ask("release.labels.map(x, {x: 1}).all(x, x['pci'] == 1)") is True


def test_what_is_wrong_beyond_the_engines_own_faults_is_told_together() -> None:
    assert [fault.text for fault in faults("{1: 1}.map(k, k)")] == [
        "a loop must run over a list: the order of a map is chance",
        "must be true or false (bool), and is of type list<int>",
    ]


def test_loops_do_not_nest_without_end() -> None:
    nested = "release.services.exists(a, " * 26 + "true" + ")" * 26
    assert faults(nested) == [Fault(1, 1, "is nested too deeply")]


def test_a_text_is_taken_up_to_its_cap_in_bytes() -> None:
    whole = "'" + "é" * 2044 + "' != ''"
    assert len(whole.encode()) == cel.MAX_TEXT
    assert ask(whole) is True
    assert faults(whole + " ") == [Fault(1, 1, "is longer than 4096 bytes")]


def test_a_text_that_is_no_unicode_is_a_fault() -> None:
    assert faults("'\ud800' == ''") == [Fault(1, 1, "is no valid Unicode")]


@pytest.mark.parametrize(
    ("scope", "unknown"),
    [("when", ["now", "m"]), ("rule", ["m"]), ("metrics", ["release", "approvals", "now"])],
)
def test_each_scope_has_its_own_variables(scope: cel.Scope, unknown: list[str]) -> None:
    for name in unknown:
        assert faults(f"{name} == {name}", scope)[0].text == f"undeclared reference to '{name}'"


@pytest.mark.parametrize(
    ("text", "timed"),
    [
        ("now > timestamp('2026-01-01T00:00:00Z')", True),
        ("release.risk == 'low' || deployments.all(d, now - d.at > duration('1h'))", True),
        ("release.risk == 'low' && 'now' in release.labels", False),
        ("release.labels.exists(now, now == 'pci')", False),
    ],
)
def test_a_program_is_timed_when_it_needs_now(text: str, timed: bool) -> None:  # noqa: FBT001
    assert cel.compile(text, "rule").timed is timed


def test_a_program_is_made_once_and_can_be_a_key() -> None:
    program = cel.compile("release.risk == 'low'", "when")
    assert cel.compile("release.risk == 'low'", "when") is program
    assert {program: 1}[program] == 1
    assert program != cel.compile("release.risk == 'low'", "rule")
    assert repr(program) == "Program(text=\"release.risk == 'low'\", scope='when', timed=False)"


def test_eight_threads_share_a_program() -> None:
    text = "approvals.filter(a, a.approved && a.principal != release.id).size() == 3 && now == now"
    programs = [cel.compile(text, "rule"), cel.compile(f"{text} ", "rule")]
    approvals = (Approval(NOON, "a", approved=True), Approval(NOON, "b", approved=True))
    two, three = CelFacts(approvals=approvals), CelFacts(approvals=(*approvals, approvals[0]))

    def run(thread: int) -> set[tuple[bool, bool | CelError]]:
        turns = [(thread + turn) % 2 == 0 for turn in range(1000)]
        return {
            (right, cel.evaluate(programs[turn % 2], three if right else two, NOON))
            for turn, right in enumerate(turns)
        }

    with ThreadPoolExecutor(8) as pool:
        answers = set().union(*pool.map(run, range(8)))
    assert answers == {(True, True), (False, False)}


def test_the_version_of_the_engine_is_told() -> None:
    assert version("cel-expr-python") == "0.1.3"
    assert cel.VERSION == "cel-expr-python/0.1.3"
