"""Tests and params in a policy document: what they say, and where their faults are."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.gatekeeper.activating import read_folder
from services.gatekeeper.folds import HANDLERS
from services.gatekeeper.policy import PolicyFaultsError, load
from services.gatekeeper.rules.schema import Approvals, Evidence
from services.gatekeeper.samples import SAMPLES
from services.gatekeeper.testing import check
from services.judging import policies
from tests.unit.gatekeeper.guarded import document
from tests.unit.gatekeeper.told import GATE

POLICIES = Path(__file__).parents[3] / "deploy" / "policies"
TESTS = "{id: tests, type: evidence, kind: tests, max_failed: 0, max_age: 1h}"
SRE = "{id: sre, type: approvals, count: 1, roles: [sre]}"
CLEAN = "release.planned, change.merged, release.candidate_created, testsuiterun.finished"
FAY = '{event: role.assigned, data: {role: sre, principal: "test:fay"}}'
YES = '{event: approval.decided, data: {principal: "test:fay"}}'


def case(given: str, expect: str, more: str = "", gate: str = GATE) -> str:
    said = f"name: t, gate: {gate!r}, given: [{given}], expect: {expect}"
    return f"tests:\n- {{{said}{more}}}\n"


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyFaultsError) as caught:
        check(text, "p.yaml")
    return caught.value.faults


@pytest.mark.parametrize(
    ("given", "expect", "more"),
    [
        ("", "{verdict: pending}", ""),
        (CLEAN, "{verdict: pending, rules: {tests: pass, sre: pending}}", ""),
        (f"{CLEAN}, {FAY}, {YES}", "{verdict: allow}", ""),
        (f"{CLEAN}, {FAY}, {YES}", "{verdict: pending, rules: {tests: pending}}", ", after: 1h"),
        (f"{CLEAN}, {FAY}, {YES.replace('}}', '}, by: test:eve}')}", "{verdict: pending}", ""),
        (f"{CLEAN}, {FAY}, {YES.replace('}}', ', decision: rejected}}')}", "{verdict: deny}", ""),
        ("{event: testsuiterun.finished, data: {counts: {failed: 1}}}, release.candidate_created",
         "{verdict: deny, rules: {tests: fail}}", ""),
    ],
)  # fmt: skip
def test_a_test_tells_events_and_expects_a_verdict(given: str, expect: str, more: str) -> None:
    assert check(document(TESTS, SRE) + case(given, expect, more)).ref.name == "guard"


def test_a_gate_that_the_policy_does_not_cover_is_told_apart_from_a_deny() -> None:
    text = document(SRE, head="applies_to: {type: [hotfix]}\n")
    check(text + case("release.planned", "{verdict: not_covered}"))
    check(text + case("", "{verdict: not_covered}", gate="deploy:moon"))
    (fault,) = faults(text + case("release.planned", "{verdict: deny}"))
    assert "expected deny, and it is not_covered" in fault


def test_every_test_that_fails_is_named_at_its_place() -> None:
    text = document(SRE) + case(CLEAN, "{verdict: allow, rules: {sre: pass, qa: pass}}")
    text += "- {name: two, gate: 'deploy:production', given: [nothing.at_all, x.y], "
    text += "expect: {verdict: deny}}\n"
    found = faults(text)
    assert [fault.partition(": ")[0] for fault in found] == [
        "p.yaml:12:140 tests[0].expect.verdict",
        "p.yaml:12:164 tests[0].expect.rules.sre",
        "p.yaml:12:175 tests[0].expect.rules.qa",
        "p.yaml:13:50 tests[1].given[0].event",
    ]
    assert found[0].endswith("t: expected allow, and it is pending: Waiting: Approval by sre "
                             "– 0 of 1 approval from sre.")  # fmt: skip
    assert found[2].endswith("t: deploy:production has no rule of this id")
    assert found[3].endswith("is no type of the catalogue")


def test_an_event_that_is_none_is_a_fault_where_it_stands() -> None:
    odd = "{event: testsuiterun.finished, data: {coverage: most}}"
    (fault,) = faults(document(SRE) + case(odd, "{verdict: deny}"))
    assert fault.startswith("p.yaml:12:86 tests[0].given[0].data.coverage: Input should be")


def test_shapes_are_looked_at_before_anything_runs() -> None:
    found = faults(document(SRE) + case("{event: Odd}", "{verdict: perhaps}", ", colour: red"))
    assert [fault.partition(": ")[0].partition(" ")[2] for fault in found] == [
        "tests[0].given[0].event", "tests[0].expect.verdict", "tests[0].colour",
    ]  # fmt: skip


def test_each_event_that_rules_look_at_has_a_sample() -> None:
    spoken = {name.rpartition(".v")[0] for name in HANDLERS}
    whole = {"change.pushed", "policy.activated"}  # their commits, or their text, are the point
    assert spoken - SAMPLES.keys() == whole


def test_each_starter_policy_has_tests_that_pass_and_can_say_yes() -> None:
    for name, text in read_folder(POLICIES).items():
        verdicts = {test.expect.verdict for test in load(text).document.tests}
        assert verdicts > {"allow"}, name


def test_a_param_stands_for_its_value_wherever_a_rule_asks_for_one() -> None:
    head = (
        "params:\n  least: {type: number, default: 70.5}\n  who: {type: list, default: [sre, qa]}\n"
        "  for: {type: duration, default: 2h}\n  name: {type: text, default: unit}\n"
        "  n: {type: integer, default: 2}\n"
    )
    text = document(
        "{id: a, type: evidence, kind: tests, min_coverage: $least, max_age: $for, name: $name}",
        "{id: b, type: approvals, count: $n, roles: $who}",
        head=head,
    )
    (_, a), (_, b) = load(text).document.gates[0].rules()
    assert isinstance(a, Evidence)
    assert isinstance(b, Approvals)
    assert (a.min_coverage, str(a.max_age), a.name) == (70.5, "2:00:00", "unit")
    assert (b.count, b.roles) == (2, ["sre", "qa"])


@pytest.mark.parametrize(
    ("params", "count", "words"),
    [
        ("{}", "$n", "p.yaml:11:34 sre.count: there is no param n"),
        ("{n: {type: integer, default: 1}}", "1", "params.n: is used by no rule"),
        ("{n: {type: integer, default: x}}", "$n", "params.n: the default is no integer"),
        ("{n: {type: duration, default: soon}}", "$n", "params.n: the default is no duration"),
        ("{n: {type: integer, default: 0}}", "$n", "p.yaml:11:34 sre.count: Input should be"),
        ("{n: {type: text, default: $m}, m: {type: text, default: x}}", "$n", "params.m: is used"),
        ("[1]", "1", "params: Input should be a valid dictionary"),
        ("{n: 3}", "$n", "params.n: Input should be a valid dictionary"),
    ],
)
def test_a_param_that_is_misused_is_a_fault(params: str, count: str, words: str) -> None:
    text = document(SRE.replace("count: 1", f"count: {count}"), head=f"params: {params}\n")
    assert any(words in fault for fault in faults(text)), faults(text)


def test_nothing_is_put_into_expressions_and_tests() -> None:
    cel = "{id: c, type: cel, unmet: no, expr: \"release.id == '$n'\"}"
    text = document(cel, head="params: {n: {type: text, default: x}}\n")
    assert any("params.n: is used by no rule" in fault for fault in faults(text))


def test_the_command_names_every_fault_of_every_file_and_says_by_its_exit_code(
    tmp_path: Path,
) -> None:
    good, bad, none = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "none.yaml"
    good.write_text(document(SRE) + case(CLEAN, "{verdict: pending}"))
    bad.write_text("kind: Nothing\n")
    runner = CliRunner()
    fine = runner.invoke(policies, ["check", str(good)])
    assert (fine.exit_code, fine.output) == (
        0, f"{good}: guard version 1 is good, 1 test passed\n",
    )  # fmt: skip
    said = runner.invoke(policies, ["check", str(good), str(bad), str(none)])
    assert said.exit_code == 1
    assert f"{bad}:1:1 kind: Input should be 'ReleasePolicy'" in said.output
    assert f"{bad}:1:1 gates: Field required" in said.output
    assert f"{none}:1:1 cannot be read" in said.output


@pytest.mark.parametrize(
    ("given", "more", "at"),
    [
        (", ".join(["{event: release.planned, after: 9999w}"] * 60), "", "tests[0].given["),
        ("release.planned", ", begins: '9999-12-31T00:00:00Z', after: 9w", "tests[0].after: "),
        (CLEAN, ", begins: '9999-12-31T23:30:00Z'", "tests[0]"),
    ],
)
def test_a_test_that_leads_beyond_the_calendar_is_a_fault(given: str, more: str, at: str) -> None:
    (fault,) = faults(document(TESTS, SRE) + case(given, "{verdict: pending}", more))
    assert at in fault
    assert "beyond the year 9999" in fault or "too far away to be reckoned with" in fault
