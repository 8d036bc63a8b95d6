"""Changes, pipelines and artifacts, in words."""

from __future__ import annotations

from collections.abc import Callable

from services.projector.readmodels.fact import Fact
from services.projector.readmodels.words.phrases import TONES, Words, count, ended, join, say, short


def _change(fact: Fact) -> Words:
    number, title = say(fact, "change_id"), fact.text("title")
    if fact.name == "change.created":
        return "neutral", f"Change {number} put up for review", join(title, fact.text("author"))
    if fact.name == "change.merged":
        where = f"{say(fact, 'repo')} at {short(fact.text('merge_sha'))}"
        merged = f"Change {number} merged into {say(fact, 'target')}"
        return "good", merged, join(title, fact.text("author"), where)
    verdict = say(fact, "verdict")
    spoken = f"{say(fact, 'reviewer')} reviewed change {number}: {verdict.replace('_', ' ')}"
    return TONES.get(verdict, "neutral"), spoken, say(fact, "repo", "")


def _pushed(fact: Fact) -> Words:
    commits = fact.data.get("commits")
    number = count(len(commits) if isinstance(commits, list) else 0, "commit")
    ref = say(fact, "ref").removeprefix("refs/heads/")
    forced = "forced" if fact.data.get("forced") is True else None
    where = f"{say(fact, 'repo')} at {short(fact.text('after'))}"
    return "neutral", f"{number} pushed to {ref}", join(where, fact.text("pusher"), forced)


def _pipeline(fact: Fact) -> Words:
    name = f"Pipeline {say(fact, 'pipeline')}"
    commit = fact.text("commit_sha")
    detail = join(f"run {say(fact, 'run_id')}", short(commit) if commit else None)
    if fact.name == "pipelinerun.started":
        return "neutral", f"{name} started", detail
    tone, end = ended(fact)
    return tone, f"{name} {end}", detail


def _tests(fact: Fact) -> Words:
    tone, end = ended(fact)
    counts = fact.table("counts")
    numbers = [f"{counts[key]} {key}" for key in ("passed", "failed", "skipped") if key in counts]
    coverage = fact.data.get("coverage")
    covered = f"coverage {coverage} %" if coverage is not None else None
    return tone, f"Tests {say(fact, 'suite')} {end}", join(*numbers, covered)


def _artifact(fact: Fact) -> Words:
    verb = fact.name.partition(".")[2]
    what = short(fact.text("purl") or fact.text("digest"))
    if verb == "scanned":
        return _scanned(fact)
    details = {
        "packaged": f"from {short(fact.text('commit_sha'))}",
        "signed": f"key {short(fact.text('key_id'))}",
    }
    detail = details.get(verb, fact.text("repository"))
    return "good" if verb == "signed" else "neutral", f"Artifact {verb}", join(what, detail)


def _scanned(fact: Fact) -> Words:
    counts = fact.table("counts")
    grave = sum(n for key in ("critical", "high") if isinstance(n := counts.get(key), int))
    found = [f"{n} {key}" for key, n in counts.items() if isinstance(n, int) and n]
    title = "Scan found nothing grave" if not grave else f"Scan found {grave} critical or high"
    return "bad" if grave else "good", title, join(fact.text("scanner"), *found)


def _attested(fact: Fact) -> Words:
    verified = fact.data.get("verified") is True
    title = f"Attestation {'verified' if verified else 'not verified'}"
    return (
        "good" if verified else "bad",
        title,
        join(*map(fact.text, ("predicate_type", "builder"))),
    )


WORDS: dict[str, Callable[[Fact], Words]] = {
    "change.created": _change,
    "change.pushed": _pushed,
    "change.reviewed": _change,
    "change.merged": _change,
    "pipelinerun.started": _pipeline,
    "pipelinerun.finished": _pipeline,
    "testsuiterun.finished": _tests,
    "artifact.packaged": _artifact,
    "artifact.published": _artifact,
    "artifact.signed": _artifact,
    "artifact.scanned": _artifact,
    "attestation.recorded": _attested,
}
"""By noun and verb."""
