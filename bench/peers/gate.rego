# The twelve rules of bench/policies/twelve.yaml, as near as Rego comes to them. What it looks at was
# folded beforehand (bench/peers/opa.py): evidence by kind, subject and series, votes by person,
# times as numbers. It neither reads history nor records anything, and says less of why.
package gate

release := data.releases[input.release]

candidate := release.candidate

now := time.now_ns()

day := ((24 * 60) * 60) * 1000000000

decision := {
	"decision": verdict,
	"release": input.release,
	"gate": input.gate,
	"artefact": candidate.digest,
	"as_of": now,
	"rules": results,
}

default verdict := "allow"

verdict := "deny" if {
	"fail" in statuses
} else := "pending" if {
	"pending" in statuses
}

statuses := {result.status | some result in results}

# Evidence: of each series the newest record about each subject speaks.

speaking(kind, subjects) := [record |
	some subject in subjects
	some series in release.evidence[kind][subject]
	record := series[count(series) - 1]
]

missing(kind, subjects) := [sprintf("no %s is recorded for %s", [kind, subject]) |
	some subject in subjects
	not release.evidence[kind][subject]
]

shown(absent, wrong, records) := {
	"status": status(absent, wrong),
	"reason": concat("; ", array.concat(absent, wrong)),
	"found": concat("; ", [sprintf("%s: %s", [record.series, record.outcome]) | some record in records]),
	"evidence": [record.position | some record in records],
}

status(_, wrong) := "fail" if count(wrong) > 0

status(absent, wrong) := "pending" if {
	count(wrong) == 0
	count(absent) > 0
}

status(absent, wrong) := "pass" if {
	count(wrong) == 0
	count(absent) == 0
}

results.tests := shown(missing("tests", candidate.artifacts), tests_wrong, tests)

tests := speaking("tests", candidate.artifacts)

tests_wrong := [text |
	some record in tests
	some text in array.concat(array.concat(ended_badly(record), too_many(record, "failed", 0)), too_few(record, "coverage", 70))
]

results.scan := shown(missing("scan", candidate.artifacts), scan_wrong, scans)

scans := speaking("scan", candidate.artifacts)

scan_wrong := [text | some record in scans; some text in too_many(record, "critical", 0)]

results.pipeline := shown(missing("pipeline", release.repos), pipeline_wrong, pipelines)

pipelines := [record | some record in speaking("pipeline", release.repos); record.series == "ci"]

pipeline_wrong := [text | some record in pipelines; some text in ended_badly(record)]

results["rollback-plan"] := plan("rollback")

results["comms-plan"] := plan("comms")

plan(kind) := shown([], [], [series[count(series) - 1]]) if {
	series := release.evidence.plan[""][kind]
} else := shown([sprintf("no %s plan is recorded", [kind])], [], [])

ended_badly(record) := [] if record.outcome == "success"

ended_badly(record) := [sprintf("%s ended with %s", [record.series, record.outcome])] if record.outcome != "success"

too_many(record, metric, bound) := [sprintf("%s has %s %v; at most %v is allowed", [record.series, metric, record.metrics[metric], bound])] if {
	record.metrics[metric] > bound
} else := []

too_few(record, metric, bound) := [sprintf("%s has %s %v; at least %v is required", [record.series, metric, record.metrics[metric], bound])] if {
	record.metrics[metric] < bound
} else := []

# What stands in the way.

results["late-scope"] := scope

scope := {"status": "fail", "reason": "the scope changed too late", "evidence": late} if {
	count(late) > 0
} else := {"status": "pass", "reason": "the scope was settled in time", "evidence": []} if {
	count(release.window) == 2
} else := {"status": "pending", "reason": "no window is scheduled", "evidence": []}

late := [change.position |
	some change in release.scope_changes
	change.at >= release.window[0] - day
	change.at < release.window[1]
]

results.freeze := calendar

calendar := {"status": "fail", "reason": sprintf("frozen: %v", [frozen]), "evidence": frozen} if {
	count(frozen) > 0
} else := {"status": "pass", "reason": "no freeze by calendar main", "evidence": []}

frozen := [freeze.position |
	some freeze in data.calendars.main
	freeze.start <= now
	now < freeze.end
	not release.type in freeze.allows
]

results.veto := objections

objections := {"status": "fail", "reason": "somebody objects", "evidence": vetoes} if {
	count(vetoes) > 0
} else := {"status": "pass", "reason": "nobody of security or sre objects", "evidence": []}

vetoes := [veto.position |
	some veto in release.vetoes
	some role in ["security", "sre"]
	data.roles[role][veto.person].position < veto.position
]

# Approvals: bound to the candidate, by people who held and hold the role, who are not tied to the
# release, each seated once. The newest vote of a person counts.

wanted := {"qa": ["qa", 1], "cab": ["cab", 2], "security": ["security", 1], "manager": ["release-manager", 1]}

results[rule] := approval(role, number, count(yes[rule])) if some rule, [role, number] in wanted

approval(role, _, _) := {"status": "fail", "reason": concat(", ", no[role]), "evidence": []} if count(no[role]) > 0

approval(role, number, have) := {
	"status": seating(number, have),
	"reason": sprintf("%d of %d approvals from %s: %s", [min([have, number]), number, role, concat(", ", names(role))]),
	"evidence": [vote.position | some vote in good[role]],
} if {
	count(no[role]) == 0
}

seating(_, _) := "pass" if seated

seating(number, have) := "pass" if {
	not seated
	have >= number
}

seating(number, have) := "pending" if have < number

names(role) := [vote.person | some vote in good[role]]

newest := [vote |
	some votes in release.votes[input.gate]
	vote := votes[count(votes) - 1]
	vote.digest == candidate.digest
]

tied := {person | some person in release.tied}

holds(role, vote) if {
	held := data.roles[role][vote.person]
	held.position < vote.position
	not ended(held)
}

ended(held) if held.until <= now

good[role] := [vote |
	some vote in newest
	vote.approved
	holds(role, vote)
	not vote.login in tied
	not expired(role, vote)
] if some _, [role, _] in wanted

expired("cab", vote) if vote.at + (14 * day) <= now

no[role] := [vote.person | some vote in newest; not vote.approved; holds(role, vote)] if some _, [role, _] in wanted

yes[rule] := {vote.login | some vote in good[role]} if some rule, [role, _] in wanted

# Nobody counts for two rules.
seated if {
	some q in yes.qa
	some s in yes.security
	some m in yes.manager
	some one in yes.cab
	some other in yes.cab
	one < other
	count({q, s, m, one, other}) == 5
}
