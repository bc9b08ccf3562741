"""Names of nodes, topics and services: what is valid, how they expand, how they are remapped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from owseg.errors import UsageError

Kind = Literal["topic", "service"]

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NODE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


class Remap(NamedTuple):
    """One rule `[node:]from:=to`.

    Attributes:
        source: name as the node uses it, or "__ns" or "__node".
        target: the name to use instead.
        node: apply to the node of this name only; "" = to all.
        kind: restrict to topics or services; None = both.
    """

    source: str
    target: str
    node: str = ""
    kind: Kind | None = None


def check_node_name(name: str) -> str:
    """Return the name of a node.

    Raises:
        UsageError: characters other than letters, digits and "_", or a leading digit.
    """
    if not _NODE.fullmatch(name):
        raise UsageError(
            f"'{name}' is no valid node name; use letters, digits and '_', and begin with a letter"
        )
    return name


def normalize_namespace(namespace: str) -> str:
    """Return a namespace with its leading slash and without a trailing one; "/" is the root.

    Raises:
        UsageError: an empty part or a character that names cannot have.
    """
    parts = namespace.strip("/").split("/") if namespace.strip("/") else []
    if not all(_TOKEN.fullmatch(part) for part in parts) or "//" in namespace:
        raise UsageError(f"'{namespace}' is no valid namespace; write for example /front/left")
    return "/" + "/".join(parts)


def join(namespace: str, name: str) -> str:
    """Put a name into a namespace."""
    return f"{namespace.rstrip('/')}/{name}"


def expand(name: str, namespace: str, node: str) -> str:
    """Expand a topic or service name to a fully qualified one.

    Args:
        name: absolute ("/a"), relative ("a") or private ("~/a", "~").
        namespace: of the node, normalised.
        node: name of the node.

    Raises:
        UsageError: the name is not valid.
    """
    if name == "~" or name.startswith("~/"):
        full = join(namespace, node) + name[1:]
    elif name.startswith("/"):
        full = name
    else:
        full = join(namespace, name)
    if not all(_TOKEN.fullmatch(part) for part in full[1:].split("/")):
        raise UsageError(
            f"'{name}' is no valid topic or service name; use letters, digits, '_' and '/'"
        )
    return full


def remapped(full: str, kind: Kind, namespace: str, node: str, rules: Iterable[Remap]) -> str:
    """Apply the first rule that fits a fully qualified name.

    Args:
        full: the expanded name.
        kind: of thing that is named.
        namespace: of the node; relative names in a rule are expanded in it.
        node: name of the node.
        rules: in the order of the command line.

    Raises:
        UsageError: the rule that fits has an invalid target.
    """
    for rule in rules:
        if rule.source.startswith("__") or (rule.node and rule.node != node):
            continue
        if rule.kind not in (None, kind):
            continue
        if expand(rule.source, namespace, node) == full:
            return expand(rule.target, namespace, node)
    return full


def remapped_node(name: str, namespace: str, rules: Iterable[Remap]) -> tuple[str, str]:
    """Apply `__node` and `__ns` to a node.

    Returns:
        Name and normalised namespace.

    Raises:
        UsageError: either is not valid.
    """
    rules = [rule for rule in rules if rule.node in ("", name)]
    names = [rule.target for rule in rules if rule.source in ("__node", "__name")]
    spaces = [rule.target for rule in rules if rule.source == "__ns"]
    return (
        check_node_name(names[0] if names else name),
        normalize_namespace(spaces[0] if spaces else namespace),
    )
