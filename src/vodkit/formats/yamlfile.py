"""YAML files read in linear time: no aliases of lists or mappings, no key twice, nothing built."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from vodkit.formats.jsonfile import read_text
from vodkit.ground.errors import FormatError

TEXTS = "names"
"""the key whose entries are texts, whatever they resemble"""
MOST_CHARACTERS = 4_000_000
"""a sheet of a data set with 65,536 class names has fewer"""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses what makes a small file large (aliases) or unclear (a key twice)."""

    def construct_document(self, node: Any) -> Any:
        """Class names stay texts as they are written: YAML takes ``no`` for false, 01 for 1."""
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value == TEXTS and isinstance(value, yaml.CollectionNode):
                pairs = isinstance(value, yaml.MappingNode)
                for one in [inner for _, inner in value.value] if pairs else value.value:
                    if isinstance(one, yaml.ScalarNode):
                        one.tag = "tag:yaml.org,2002:str"
        return super().construct_document(node)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            if not isinstance(self.anchors.get(event.anchor), yaml.ScalarNode):
                problem = f"alias *{event.anchor} of a list or mapping; write it out"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in seen:
                problem = f"key {str(key.value)[:40]!r} occurs twice; allowed: once"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[Any, Any]:
    """The mapping in a YAML file; FormatError names the line where it breaks."""
    text = read_text(path)
    if len(text) > MOST_CHARACTERS:
        raise FormatError(f"{len(text)} characters; allowed: up to {MOST_CHARACTERS}", path=path)
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader, made stricter
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        what = getattr(error, "problem", None) or error
        raise FormatError(f"not YAML: {what}", path=path, line=line) from error
    if not isinstance(content, dict):
        raise FormatError("not a mapping of names to values", path=path)
    return content
