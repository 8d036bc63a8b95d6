"""YAML that remembers its lines: a value, and where in the text each part of it stands.

Pure. A subset of YAML 1.1: no aliases, no double keys, at most 100,000 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

MAX_CHARACTERS = 100_000
Loc = Sequence[str | int]
_PLACE = re.compile(r"(.*?):(\d+):(\d+) ", re.DOTALL)


class UnreadableError(ValueError):
    """The text is no YAML that we read; the message begins with file:line:column."""


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases: a policy is read by people from top to bottom, once."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)


@dataclass(frozen=True, slots=True)
class Source:
    """A document: its plain value, and its nodes for finding places."""

    file: str
    value: Any
    node: yaml.Node

    def fault(self, loc: Loc, text: str) -> str:
        """Return `file:line:column rule.field: text` for a path into the value."""
        place, label = _find(self.node, loc)
        return self._at(place, f"{label}: {text}" if label else text)

    def doubles(self) -> Iterator[str]:
        """Yield a fault for each key that stands twice in a mapping, and each id in its scope."""
        yield from self._double_keys(self.node)
        gates = _items(self.node, "gates")
        yield from self._double_ids("gate", gates)
        for gate in gates:
            stages = _items(gate, "stages")
            yield from self._double_ids("stage", stages)
            rules = [r for s in stages for r in _items(s, "rules")]
            within = [each for rule in rules for each in _items(rule, "rules")]
            yield from self._double_ids("rule", [*rules, *within])

    def _at(self, node: yaml.Node, text: str) -> str:
        mark = node.start_mark
        line = "".join(c if c.isprintable() else "�" for c in text)  # a fault is one line
        return f"{self.file}:{mark.line + 1}:{mark.column + 1} {line}"

    def _double_keys(self, node: yaml.Node) -> Iterator[str]:
        seen: set[str] = set()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
            if str(key.value) in seen:
                yield self._at(key, f"{key.value}: stands twice")
            seen.add(str(key.value))
            yield from self._double_keys(value)
        for item in node.value if isinstance(node, yaml.SequenceNode) else []:
            yield from self._double_keys(item)

    def _double_ids(self, what: str, nodes: list[yaml.Node]) -> Iterator[str]:
        seen: set[str] = set()
        for node in nodes:
            id_ = _member(node, "id")
            if isinstance(id_, yaml.ScalarNode):
                if id_.value in seen:
                    yield self._at(id_, f"{id_.value}.id: another {what} has this id")
                seen.add(id_.value)


def read(text: str, file: str) -> Source:
    """Read one YAML document, or raise `UnreadableError`."""
    if len(text) > MAX_CHARACTERS:
        raise UnreadableError(f"{file}:1:1 is longer than {MAX_CHARACTERS} characters")
    try:
        return _read(text, file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise UnreadableError(f"{file}:{place} {error.problem}") from None
    except RecursionError:
        raise UnreadableError(f"{file}:1:1 is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableError(f"{file}:1:1 {str(error).splitlines()[0]}") from None


def _read(text: str, file: str) -> Source:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ValueError("is empty")
        return Source(file, loader.construct_document(node), node)
    finally:
        loader.dispose()


def by_place(fault: str) -> tuple[str, int, int, str]:
    """Sort key: faults in the order of the text."""
    match = _PLACE.match(fault)
    return (match[1], int(match[2]), int(match[3]), fault) if match else ("", 0, 0, fault)


def _find(node: yaml.Node, loc: Loc) -> tuple[yaml.Node, str]:
    """Walk a path as far as it goes: pydantic adds union tags and names missing members."""
    place, label, tagged = node, "", None
    for part in loc:
        if _is_tag(node, part) and node is not tagged:  # a rule may have a key of its type's name
            tagged = node
            continue
        key, inner = _step(node, part)
        if inner is None:
            label = _joined(label, part)
            continue
        place, node, label = key or inner, inner, _joined(label, part)
        rule = _member(node, "id") if isinstance(part, int) else None
        label = str(rule.value) if isinstance(rule, yaml.ScalarNode) else label
    return place, label


def _step(node: yaml.Node, part: str | int) -> tuple[yaml.Node | None, yaml.Node | None]:
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(part)), (None, None))
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None, None


def _is_tag(node: yaml.Node, part: str | int) -> bool:
    type_ = _member(node, "type")
    return type_ is not None and type_.value == part


def _joined(label: str, part: str | int) -> str:
    if isinstance(part, int):
        return f"{label}[{part}]"
    return f"{label}.{part}" if label else part


def _member(node: yaml.Node, name: str) -> yaml.Node | None:
    return _step(node, name)[1] if isinstance(node, yaml.MappingNode) else None


def _items(node: yaml.Node, name: str) -> list[yaml.Node]:
    inner = _member(node, name)
    return list(inner.value) if isinstance(inner, yaml.SequenceNode) else []
