"""YAML whose numbers and truth values stay text: a class may be called `007`, `1.10` or `no`."""

from typing import Any

import yaml


class _TextLoader(yaml.SafeLoader):  # type: ignore[misc]
    """Resolves null, which is text in a list, and nothing else."""

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> Any:
        for item in node.value:
            if item.tag == "tag:yaml.org,2002:null" and item.value:
                item.tag = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG
        return super().construct_sequence(node, deep)


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> Any:
    """The content of a YAML.

    Raises:
        yaml.YAMLError: it is malformed.
    """
    return yaml.load(text, _TextLoader)
