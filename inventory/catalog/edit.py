"""Change one value in the text of a catalog file and leave everything else, comments and style included, as it is."""

from __future__ import annotations

from typing import Any

import yaml

from inventory.catalog.dumping import dump

Path = tuple[str, ...]


def flow(value: Any) -> str:
    """A value as it stands in a flow mapping."""
    return dump([value], default_flow_style=True, width=10**9, sort_keys=False).strip()[1:-1]


def put(text: str, path: Path, value: Any) -> str:
    """``text`` with ``value`` at ``path``; what is missing on the way is made. Lists of keys only, no positions."""
    node, done = _walk(text, path)
    if done == len(path):
        start, end = _span(text, node)
        return text[:start] + flow(value) + text[end:]
    for name in reversed(path[done + 1 :]):
        value = {name: value}
    if not isinstance(node, yaml.MappingNode):
        start, end = _span(text, node) if node is not None else (len(text), len(text))
        return text[:start] + flow({path[done]: value}) + text[end:]
    return _inserted(text, node, path[done], value)


def without(text: str, path: Path) -> str:
    """``text`` without the entry at ``path``; unchanged when there is none."""
    node, done = _walk(text, path[:-1])
    if done < len(path) - 1 or not isinstance(node, yaml.MappingNode):
        return text
    names = [key.value for key, _ in node.value]
    if path[-1] not in names:
        return text
    if len(names) == 1 and len(path) > 1:
        return without(text, path[:-1])
    place = names.index(path[-1])
    key, found = node.value[place]
    start, end = key.start_mark.index, _span(text, found)[1]
    if not node.flow_style:
        start = text.rfind("\n", 0, start) + 1
        end = text.find("\n", end) + 1 or len(text)
    elif place + 1 < len(names):
        end = node.value[place + 1][0].start_mark.index
    else:
        start = _span(text, node.value[place - 1][1])[1] if place else start
    return text[:start] + text[end:]


def _walk(text: str, path: Path) -> tuple[Any, int]:
    """The node at ``path``, or the last one on the way there, and how many steps were taken."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for done, name in enumerate(path):
        inner = None
        if isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == name), None)
        if inner is None:
            return node, done
        node = inner
    return node, len(path)


def _span(text: str, node: Any) -> tuple[int, int]:
    """Where the node's own text is: a block ends where the next token begins, which is too far."""
    start, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        end = _span(text, last[1] if isinstance(last, tuple) else last)[1]
    return start, start + len(text[start:end].rstrip())


def _inserted(text: str, node: yaml.MappingNode, name: str, value: Any) -> str:
    entry = f"{flow(name)}: {flow(value)}"
    if node.flow_style:
        end = node.end_mark.index - 1
        head = text[:end].rstrip()
        return f"{head}{', ' if node.value and not head.endswith(',') else ''}{entry}{text[end:]}"
    indent = node.value[0][0].start_mark.column
    line_end = text.find("\n", _span(text, node)[1])
    end = len(text) if line_end < 0 else line_end
    return f"{text[:end]}\n{' ' * indent}{entry}{text[end:]}"
