"""Activating: the policy documents of a folder become events, so that what judged is on record.

What judges is the ledger's text, never the file. While the ledger has no policy, all texts are
activated together as they stand in their files. From then on the text of a new name or of a higher
version becomes a proposal, which people approve and activate; in development mode it is activated
at once. A lower version is an older deployment and is left alone. So is a name whose file is gone:
it judges until it is retired.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from contracts.payloads.policies import PolicyActivated, PolicyProposed
from contracts.problem import Conflict, Unavailable
from services.gatekeeper.active import POLICIES, is_known, named, newest
from services.gatekeeper.deciding import SOURCE, TRIES, Decider, envelope
from services.gatekeeper.policy import Policy, PolicyFaultsError, load
from services.gatekeeper.proposing import ProposedAlready, propose
from services.gatekeeper.testing import check
from services.kit import logs

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.event import Event

_log = logs.get(__name__)
AUTHOR = "service:gatekeeper"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, SOURCE)


def read_folder(folder: Path) -> dict[str, str]:
    """Return name → text of every `*.yaml` in a folder.

    Raises `PolicyFaultsError` with the faults of all files, and for a folder without any.
    """
    texts: dict[str, str] = {}
    faults: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            name = _read(path, texts)
        except PolicyFaultsError as error:
            faults += error.faults
        else:
            texts[name] = path.read_text(encoding="utf-8")
    if not texts and not faults:
        faults = [f"{folder}: there is no policy document (*.yaml)"]
    if faults:
        raise PolicyFaultsError(faults)
    return texts


def _read(path: Path, others: dict[str, str]) -> str:
    try:
        name = check(path.read_text(encoding="utf-8"), str(path)).ref.name
    except UnicodeDecodeError:
        raise PolicyFaultsError([f"{path}:1:1 is not UTF-8"]) from None
    if name in others:
        raise PolicyFaultsError([f"{path}:1:1 metadata.name: another file has the name {name}"])
    return name


async def activate(decider: Decider, texts: dict[str, str], *, at_once: bool = False) -> None:
    """Make sure that each text, or a later version, is active or (unless `at_once`) proposed. Safe
    to repeat and to run twice.
    """
    await _begin(decider, texts)
    for name, text in texts.items():
        for _ in range(TRIES):  # others may write into that history too
            page = await decider.reader.history(f"policy:{name}")
            current, wanted = newest(page), load(text, name)
            if current is not None and not _rises(wanted, current.policy):
                break
            if not at_once:
                await _propose(decider, text, wanted)
                break
            await _append(decider, text, wanted, page.version)


async def _begin(decider: Decider, texts: dict[str, str]) -> None:
    """Activate all texts, or none, where no policy was ever active: nobody can approve of them."""
    for _ in range(TRIES):
        asked = [POLICIES, *(f"policy:{name}" for name in texts)]
        listed, *pages = await decider.reader.histories(asked)
        if named(listed) or any(map(is_known, pages)):
            return
        policies = [(text, load(text, name)) for name, text in texts.items()]
        events = [_activation(*one, page.version)
                  for one, page in zip(policies, pages, strict=True)]  # fmt: skip
        expect = {page.subject: page.version for page in (listed, *pages)}
        try:
            await decider.append_all(events, expect)
        except Conflict:
            continue
        for _, one in policies:
            _log.info("policy.activated", policy=one.ref.name, version=one.ref.version)
    raise Unavailable("the histories of the policies move; none is active yet")


async def _propose(decider: Decider, text: str, wanted: Policy) -> None:
    """Propose a file's text. Nobody is its author, so it takes one more to approve."""
    said = PolicyProposed(
        policy_id=wanted.ref.name,
        version=wanted.ref.version,
        content_sha256=hashlib.sha256(text.encode()).hexdigest(),
        content=text,
        author=AUTHOR,
        reason=f"version {wanted.ref.version} stands in the folder of policies",
    )
    ref, why = wanted.ref, Conflict()
    for _ in range(TRIES):  # others may write into those histories too
        try:
            await propose(decider, said, None)
        except ProposedAlready:
            _log.info("policy.proposed_already", policy=ref.name, version=ref.version)
            return
        except Conflict as conflict:
            why = conflict
        else:
            _log.warning("policy.proposed", policy=ref.name, version=ref.version,
                         detail="it judges once people have approved and activated it")  # fmt: skip
            return
    _log.warning("policy.not_proposed", policy=ref.name, version=ref.version, detail=str(why))


def _rises(wanted: Policy, current: Policy | None) -> bool:
    if current is None:
        return True
    same = wanted.ref.digest == current.ref.digest
    if not same and wanted.ref.version <= current.ref.version:
        detail = "the file differs from the active text without a higher version; it is not used"
        _log.warning("policy.not_activated", policy=wanted.ref.name, detail=detail,
                     file=wanted.ref.version, active=current.ref.version)  # fmt: skip
    return wanted.ref.version > current.ref.version


async def _append(decider: Decider, text: str, wanted: Policy, version: int) -> None:
    subject = f"policy:{wanted.ref.name}"
    try:
        await decider.append(_activation(text, wanted, version), {subject: version})
    except Conflict:
        _log.info("policy.activated_elsewhere", policy=wanted.ref.name)
    else:
        _log.info("policy.activated", policy=wanted.ref.name, version=wanted.ref.version)


def _activation(text: str, wanted: Policy, version: int) -> Event:
    payload = PolicyActivated(
        policy_id=wanted.ref.name,
        version=wanted.ref.version,
        content_sha256=hashlib.sha256(text.encode()).hexdigest(),
        content=text,
        author=wanted.document.metadata.owner,
    )
    subject = f"policy:{wanted.ref.name}"
    id_ = str(uuid.uuid5(_NAMESPACE, f"{subject}@{version}:{wanted.ref.digest}"))
    return envelope(payload, POLICIES, id_=id_)
