"""Names of nodes and topics."""

from __future__ import annotations

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.names import (
    Remap,
    check_node_name,
    expand,
    join,
    normalize_namespace,
    remapped,
    remapped_node,
)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("image", "/front/left/image"),
        ("segmentation/mask", "/front/left/segmentation/mask"),
        ("/tf", "/tf"),
        ("~/set", "/front/left/node/set"),
        ("~", "/front/left/node"),
        ("_hidden2", "/front/left/_hidden2"),
    ],
)
def test_names_expand(name, full):
    assert expand(name, "/front/left", "node") == full


def test_names_expand_in_the_root():
    assert expand("image", "/", "node") == "/image"
    assert expand("~/image", "/", "node") == "/node/image"
    assert join("/", "node") == "/node"


@pytest.mark.parametrize(
    "name", ["", "/", "2d", "/a/2d", "a//b", "a/", "/a b", "a-b", "~x", "ä", "a/~/b", "{node}/x"]
)
def test_invalid_names_are_refused(name):
    with pytest.raises(UsageError, match="no valid topic or service name"):
        expand(name, "/", "node")


@pytest.mark.parametrize(
    ("given", "normal"), [("", "/"), ("/", "/"), ("a", "/a"), ("/a/b", "/a/b"), ("a/b/", "/a/b")]
)
def test_namespaces_are_normalised(given, normal):
    assert normalize_namespace(given) == normal


@pytest.mark.parametrize("namespace", ["a b", "/2", "a//b", "/a/-"])
def test_invalid_namespaces_are_refused(namespace):
    with pytest.raises(UsageError, match="no valid namespace"):
        normalize_namespace(namespace)


@pytest.mark.parametrize("name", ["", "a/b", "2a", "a-b", "a" * 256])
def test_invalid_node_names_are_refused(name):
    with pytest.raises(UsageError, match="no valid node name"):
        check_node_name(name)


def remap(full, *rules, kind="topic"):
    return remapped(full, kind, "/ns", "node", rules)


def test_the_first_rule_that_fits_is_applied():
    rules = (Remap("image", "/camera/raw"), Remap("/ns/image", "/never"), Remap("/b", "c"))
    assert remap("/ns/image", *rules) == "/camera/raw"
    assert remap("/b", *rules) == "/ns/c"
    assert remap("/ns/other", *rules) == "/ns/other"
    assert remap("/ns/node/mask", Remap("~/mask", "~/label")) == "/ns/node/label"


def test_rules_for_another_node_or_kind_are_not_applied():
    assert remap("/a", Remap("/a", "/b", "other")) == "/a"
    assert remap("/a", Remap("/a", "/b", "node")) == "/b"
    assert remap("/a", Remap("/a", "/b", kind="service")) == "/a"
    assert remap("/a", Remap("/a", "/b", kind="service"), kind="service") == "/b"
    assert remap("/ns/__ns", Remap("__ns", "/b")) == "/ns/__ns"


def test_nodes_are_remapped():
    rules = [Remap("__node", "left"), Remap("__ns", "cams"), Remap("__node", "late")]
    assert remapped_node("perception", "/x", rules) == ("left", "/cams")
    assert remapped_node("perception", "x", []) == ("perception", "/x")
    one = [Remap("__name", "left", "perception"), Remap("__ns", "/y", "other")]
    assert remapped_node("perception", "", one) == ("left", "/")
    with pytest.raises(UsageError, match="node name"):
        remapped_node("perception", "", [Remap("__node", "a/b")])
