"""Bugs to plant, one at a time: what each gets wrong, and the text that makes it so."""

from __future__ import annotations

from typing import NamedTuple

OVERLAY = "services/ledger/overlay.py"
DECISION = "services/ledger/decision.py"
PLANNING = "services/ledger/planning.py"
PIPELINE = "services/ledger/pipeline.py"
SETTLING = "services/ledger/settling.py"
BACKLOG = "services/ledger/backlog.py"
WRITER = "services/ledger/writer.py"
APPEND = "migrations/ledger/sql/append_v1.sql"


class Mutation(NamedTuple):
    """A planted bug. `old` stands in the file exactly once."""

    name: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "a version that does not grow inside a batch", OVERLAY,
        "versions[key] = given[key] = version + 1",
        "versions[key] = given[key] = max(version, 1)",
    ),
    Mutation(
        "a duplicate inside a batch is missed", DECISION,
        "if (stored := overlay.stored(item.key)) is None:\n        return Verdict",
        "if (stored := overlay.stored(item.key)) is None or stored.recorded_at is None:\n"
        "        return Verdict",
    ),
    Mutation(
        "one failing expectation is let through", DECISION,
        "    if not failing:\n", "    if len(failing) < 2:\n",
    ),
    Mutation(
        "expectations are checked before the batch's own effects", DECISION,
        "    return Plan(effects, [_judge(overlay, effects, request) for request in requests])",
        "    early = [_refusal(overlay, one) for one in requests]\n"
        "    return Plan(effects, [[no] * len(one.items) if no else"
        " [_accept(overlay, effects, item) for item in one.items]"
        " for no, one in zip(early, requests, strict=True)])",
    ),
    Mutation(
        "the rest of a group that is stored in part is appended", DECISION,
        "    if there:\n", "    if there and len(there) > len(request.items):\n",
    ),
    Mutation(
        "an id with other content counts as a duplicate", DECISION,
        "            if not stored.has_content_of(item):\n",
        "            if not stored.has_content_of(item) and stored.salt is None:\n",
    ),
    Mutation(
        "a try of ours whose answer got lost counts as a duplicate", DECISION,
        "    ours = stored.commitment == item.commitment\n", "    ours = False\n",
    ),
    Mutation(
        "undo keeps a new subject", OVERLAY,
        "        self._versions |= effects.before\n",
        "        self._versions |= {k: v for k, v in effects.before.items() if v}\n",
    ),
    Mutation(
        "undo keeps the head", OVERLAY,
        "            del self._recent[item.key]\n        self.head = effects.expected\n",
        "            del self._recent[item.key]\n",
    ),
    Mutation(
        "versions that others moved are not followed", OVERLAY,
        "            for key, known in snapshot.tail.items():\n",
        "            for key, known in ():\n",
    ),
    Mutation(
        "batches in flight are taken back in the wrong order", PIPELINE,
        "        for flight in reversed(flights):\n", "        for flight in flights:\n",
    ),
    Mutation(
        "a conflict leaves before the batch ahead has succeeded", PIPELINE,
        "        ahead = self._flights[-1].sent if self._flights else None\n",
        "        ahead = self._flights[-1].sent if self._flights else None\n"
        "        if all(v.problem for some in plan.verdicts for v in some):\n"
        "            self._answering.answer(batch, plan)\n",
    ),
    Mutation(
        "a conflict is answered from a stale cache", PLANNING,
        "            if plan.items and len(plan.items) == len(ids):\n",
        "            if not plan.items or len(plan.items) == len(ids):\n",
    ),
    Mutation(
        "an id whose item was refused is not looked up", PLANNING,
        "            if plan.items and len(plan.items) == len(ids):\n",
        "            if plan.items:\n",
    ),
    Mutation(
        "a try on its way is decided anew without those who have left", SETTLING,
        "batch if begun else [", "[",
    ),
    Mutation(
        "a poison item takes its neighbours along", SETTLING,
        "            middle = len(batch) // 2\n            if middle == 0:\n",
        "            middle = 0\n            for one in batch[1:]:\n"
        "                self._answering.refuse(one, Invalid(str(error)))\n"
        "            if middle == 0:\n",
    ),
    Mutation(
        "the lock is not taken", APPEND,
        "    PERFORM pg_advisory_xact_lock(1818584167, in_ledger_id);\n", "",
    ),
    Mutation(
        "the head is compared without its commitment", APPEND,
        " OR coalesce(last_commitment, '') <> in_head_commitment THEN", " THEN",
    ),
    Mutation(
        "the head is not compared", APPEND,
        "    IF coalesce(last_position, 0) <> in_head OR", "    IF false AND",
    ),
    Mutation(
        "a gap in a history is let through", APPEND,
        " < placed.position IS NOT TRUE\n", " < 0\n",
    ),
    Mutation(
        "recorded_at follows the clock backwards", APPEND,
        "greatest(last_recorded, clock_timestamp())", "clock_timestamp()",
    ),
    Mutation(
        "the epoch is not compared when appending", APPEND,
        "    IF present_epoch IS DISTINCT FROM in_epoch THEN", "    IF false THEN",
    ),
    Mutation(
        "the epoch is not compared when only reading", WRITER,
        """        if row["epoch"] != self.ledger.epoch:""", "        if False:",
    ),
    Mutation(
        "an id that others have stored is not probed", WRITER,
        "self._certified, probe)", "self._certified, False)",
    ),
    Mutation(
        "an answer without an append does not wait for the standby", WRITER,
        "        if self._certified:\n            with _translated():\n",
        "        if self._certified and lane < 0:\n            with _translated():\n",
    ),
    Mutation(
        "memory is not trimmed beside another process", PLANNING,
        'None as in `plan`."""\n        self.overlay.trim()\n', 'None as in `plan`."""\n',
    ),
    Mutation(
        "a deadline that has passed is ignored", BACKLOG,
        "        if self.call.deadline < now:\n", "        if self.call.deadline < 0:\n",
    ),
)  # fmt: skip
