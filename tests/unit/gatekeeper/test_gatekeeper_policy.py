"""A policy document is read whole or refused with every fault at its place."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.payloads.plan import ReleaseType
from services.gatekeeper.activating import read_folder
from services.gatekeeper.facts import Facts
from services.gatekeeper.policy import Applied, NoPolicy, PolicyFaultsError, load, select
from services.gatekeeper.rules.schema import Approvals
from tests.unit.gatekeeper.told import RELEASE, Told

POLICIES = Path(__file__).parents[3] / "deploy" / "policies"
HEAD = "apiVersion: release-ledger/v1\nkind: ReleasePolicy\n"


def document(name: str = "p", applies: str = "{}", rule: str | None = None) -> str:
    rule = rule or "{id: qa, type: approvals, count: 1, roles: [qa]}"
    return (
        f"{HEAD}metadata: {{name: {name}, version: 1, owner: me}}\napplies_to: {applies}\n"
        f"gates:\n- id: deploy:production\n  stages:\n  - id: s\n    rules:\n    - {rule}\n"
    )


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyFaultsError) as caught:
        load(text, "p.yaml")
    return caught.value.faults


def test_the_starter_policies_are_valid_and_named_by_the_digest_of_their_bytes() -> None:
    texts = read_folder(POLICIES)
    assert set(texts) == {"standard", "major", "hotfix", "data-migration", "emergency"}
    for name, text in texts.items():
        ref = load(text).ref
        assert (ref.name, ref.digest) == (
            name,
            f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
        )


@pytest.mark.parametrize(
    ("type_", "labels", "name"),
    [
        ("minor", (), "standard"),
        ("config", ("pci",), "standard"),
        ("major", (), "major"),
        ("hotfix", (), "hotfix"),
        ("minor", ("data-migration",), "data-migration"),
        ("hotfix", ("emergency",), "emergency"),
        ("major", ("data-migration", "emergency"), "emergency"),
    ],
)
def test_exactly_one_starter_policy_answers_for_each_tier_of_risk(
    type_: ReleaseType, labels: tuple[str, ...], name: str
) -> None:
    known = [load(text) for text in read_folder(POLICIES).values()]
    told = Told()
    data = {"release_id": RELEASE, "name": "P", "service_ids": ["pay"], "owner": "acme:hal"}
    told.tell("release.planned.v1", data | {"release_type": type_, "labels": list(labels)})
    for gate in ("deploy:staging", "deploy:production"):
        found = select(known, told.facts(gate))
        assert isinstance(found, Applied), found
        assert found.ref.name == name


def test_a_release_that_nobody_planned_passes_no_starter_policy() -> None:
    known = [load(text) for text in read_folder(POLICIES).values()]
    assert isinstance(select(known, Facts("r", "deploy:production")), NoPolicy)


def test_all_faults_are_reported_at_once_each_at_its_place() -> None:
    text = (
        document()
        .replace("version: 1", "version: 0, colour: red")
        .replace(
            "    - {id: qa, type: approvals, count: 1, roles: [qa]}",
            "    - {id: qa, type: approvals, count: 0, roles: []}\n"
            "    - {id: qa, type: evidence, kind: tests, max_age: soon}\n"
            "    - {id: odd, type: vote}\n"
            "    - {id: sca, type: evidence, kind: scan}",
        )
    )
    assert [fault.split(" ")[:2] for fault in faults(text)] == [
        ["p.yaml:3:21", "metadata.version:"],
        ["p.yaml:3:33", "metadata.colour:"],
        ["p.yaml:10:33", "qa.count:"],
        ["p.yaml:10:43", "qa.roles:"],
        ["p.yaml:11:12", "qa.id:"],
        ["p.yaml:11:45", "qa.max_age:"],
        ["p.yaml:12:7", "odd:"],
        ["p.yaml:13:7", "sca:"],
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a: [", "t.yaml:1:5"),
        ("a: &x 1\nb: *x", "t.yaml:2:4 aliases are not read"),
        ("a: 2026-99-99", "month must be in"),
        ("[" * 50_000, "nested too deeply"),
        ("a: b\n" * 30_000, "longer than"),
        (document() + "kind: ReleasePolicy\n", "kind: stands twice"),
        (document(rule="{id: t, type: evidence, kind: plan}"), "`plan` says which plan"),
        (document(rule="{id: t, type: evidence, kind: scan, min_coverage: 1}"), "cannot be asked"),
        (document(rule="{id: t, type: vote}"), " t: type vote is none of 'approvals', 'board',"),
        (document(rule="{id: t}"), " t: type is missing"),
    ],
)
def test_what_is_no_policy_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(PolicyFaultsError) as caught:
        load(text, "t.yaml")
    assert words in str(caught.value)


def test_rules_take_over_the_defaults_that_they_do_not_overrule() -> None:
    text = document().replace("gates:", "defaults: {exclude: [author], bind: []}\ngates:")
    ((_, rule),) = load(text).document.gates[0].rules()
    assert isinstance(rule, Approvals)
    assert (rule.exclude, rule.bind) == (["author"], [])


def test_durations_are_read_in_minutes_hours_days_and_weeks() -> None:
    rule = "{id: qa, type: approvals, count: 1, roles: [qa], expires_after: 36h}"
    ((_, found),) = load(document(rule=rule)).document.gates[0].rules()
    assert isinstance(found, Approvals)
    assert found.expires_after == timedelta(hours=36)


def test_exactly_one_policy_answers_for_a_gate() -> None:
    hotfix, rest = "{type: [hotfix]}", "{type: [major, minor]}"
    both = [load(document("fast", hotfix)), load(document("full", rest))]
    chosen = select(both, Facts("r", "deploy:production", "hotfix"))
    assert isinstance(chosen, Applied)
    assert chosen.ref.name == "fast"
    assert select(both, Facts("r", "deploy:production", "patch")) == NoPolicy(
        "no active policy covers the gate deploy:production for a patch release"
    )
    assert isinstance(select(both, Facts("r", "deploy:staging", "major")), NoPolicy)
    twice = select([*both, load(document("more"))], Facts("r", "deploy:production", "major"))
    assert isinstance(twice, NoPolicy)
    assert "full and more all cover" in twice.reason


def test_a_policy_can_be_narrowed_to_environments() -> None:
    only = [load(document(applies="{environment: [staging]}"))]
    assert isinstance(select(only, Facts("r", "deploy:production", "minor")), NoPolicy)


def test_a_folder_needs_policies_of_different_names(tmp_path: Path) -> None:
    with pytest.raises(PolicyFaultsError, match="no policy document"):
        read_folder(tmp_path)
    for file in ("a.yaml", "b.yaml"):
        (tmp_path / file).write_text(document())
    with pytest.raises(PolicyFaultsError, match=r"b.yaml:1:1 metadata.name: another file"):
        read_folder(tmp_path)


def test_a_rule_within_alternatives_may_not_have_the_id_of_another() -> None:
    """Else one would be judged in the other's place."""
    one = "{id: qa, type: approvals, count: 1, roles: [qa]}"
    pair = f"{{id: any, type: any_of, rules: [{one}, {{id: x, type: veto, roles: [qa]}}]}}"
    text = document(rule=pair) + f"    - {one.replace('count: 1', 'count: 2')}\n"
    assert ["another rule has this id" in fault for fault in faults(text)] == [True]


def test_params_that_are_no_mapping_are_a_fault_with_a_place() -> None:
    text = document(rule="{id: qa, type: approvals, count: $n, roles: [qa]}") + "params: 5\n"
    found = faults(text)
    assert any(one.startswith("p.yaml:11:1 params: ") for one in found), found
    assert any("there is no param n" in one for one in found)


@pytest.mark.parametrize(("count", "fits"), [(200, True), (201, False)])
def test_a_document_holds_so_many_expressions(count: int, *, fits: bool) -> None:
    rules = [f"{{id: r{n}, type: cel, expr: '{n} == {n}', unmet: fail}}" for n in range(count)]
    parts = [rules[at : at + 50] for at in range(0, count, 50)]
    stages = "".join(
        f"  - id: s{n}\n    rules:\n" + "".join(f"    - {rule}\n" for rule in part)
        for n, part in enumerate(parts)
    )
    text = document().partition("  - id: s\n")[0] + stages
    if fits:
        assert len(list(load(text).document.gates[0].rules())) == count
    else:
        assert faults(text) == ["p.yaml:5:1 gates: 201 expressions are too many; 200 are the most"]
