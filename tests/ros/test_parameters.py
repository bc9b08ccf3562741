"""Parameters: what is declared, what is refused, who is told."""

from __future__ import annotations

import math
import threading

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.parameters import (
    Change,
    ParameterSpec,
    ParameterStore,
    ParameterType,
    type_of,
    under,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "BOOL"),
        (1, "INTEGER"),
        (1.0, "DOUBLE"),
        ("", "STRING"),
        (b"", "BYTE_ARRAY"),
        ((True,), "BOOL_ARRAY"),
        ((1, 2), "INTEGER_ARRAY"),
        ((1.0,), "DOUBLE_ARRAY"),
        (("a",), "STRING_ARRAY"),
        ((), "NOT_SET"),
        ((1, 2.0), "NOT_SET"),
        ((1, True), "NOT_SET"),
        ([1], "NOT_SET"),
        (None, "NOT_SET"),
    ],
)
def test_types(value, kind):
    assert type_of(value) is ParameterType[kind]


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [
        ({"default": 0.5, "minimum": 0.0, "maximum": 1.0}, [0.0, 1.0], [-0.1, 1.1, math.nan, 1]),
        ({"default": 3, "minimum": 1}, [1, 2**63 - 1], [0, 2**63, 1.0, True, "3"]),
        ({"default": 3, "maximum": 9, "minimum": 1, "step": 2}, [1, 3, 9], [2, 10, 11]),
        ({"default": 0.3, "minimum": 0.1, "step": 0.1}, [0.1, 0.2, 0.7], [0.25, 0.0]),
        ({"default": "a", "choices": ("a", "b")}, ["b"], ["c", "", 1]),
        ({"default": ("a",), "choices": ("a", "b")}, [("a", "b"), ()], [("a", "c"), "a"]),
        ({"default": (0.5,), "minimum": 0.0}, [(0.0, 9.0)], [(0.0, -1.0)]),
        ({"default": 1.0}, [math.inf, -math.inf, math.nan], [True]),
        ({"default": (), "type": ParameterType.STRING_ARRAY}, [("a",), ()], [(1,), "a"]),
        ({"default": False}, [True], [0, "true"]),
        ({"default": b"x"}, [b""], ["x"]),
    ],
)
def test_values_are_checked(options, good, bad):
    spec = ParameterSpec(name="p", **options)
    assert [spec.refuse(value) for value in good] == [""] * len(good)
    for value in bad:
        reason = spec.refuse(value)
        assert reason.startswith("parameter 'p'")
        assert "\n" not in reason


def test_reasons_name_the_remedy():
    assert "write 2.0 for a double" in ParameterSpec(name="t", default=0.5).refuse(2)
    assert ParameterSpec(name="t", default=True).refuse(0) == "parameter 't' takes a bool, got 0"
    bounded = ParameterSpec(name="t", default=0.5, minimum=0.0, maximum=1.0)
    assert bounded.refuse(2.0) == "parameter 't' must be in 0..1, got 2.0"
    assert "at least 1, got 0" in ParameterSpec(name="t", default=1, minimum=1).refuse(0)
    assert "at most 1, got 2" in ParameterSpec(name="t", default=1, maximum=1).refuse(2)
    choices = ParameterSpec(name="t", default="a", choices=("a", "b"))
    assert choices.refuse("c") == "parameter 't' must be a or b, got 'c'"
    assert choices.constraints == "one of: a, b"


@pytest.mark.parametrize(
    "options",
    [
        {"name": "", "default": 1},
        {"name": "p", "default": ()},
        {"name": "p", "default": 2.0, "maximum": 1.0},
        {"name": "p", "default": "c", "choices": ("a",)},
    ],
)
def test_a_declaration_must_make_sense(options):
    with pytest.raises(UsageError):
        ParameterSpec(**options)


def store(**overrides):
    made = ParameterStore(overrides)
    made.declare(ParameterSpec(name="a", default=1, minimum=0))
    made.declare(ParameterSpec(name="b", default="x", read_only=True))
    made.declare(ParameterSpec(name="c", default=0.5))
    return made


def test_overrides_outrank_defaults():
    made = store(a=5, b="y", zzz=1)
    assert [made.get(name) for name in made.names()] == [5, "y", 0.5]
    assert made.unused() == ["zzz"]
    with pytest.raises(UsageError, match="'a' must be at least 0, got -1"):
        store(a=-1)


def test_a_second_declaration_changes_nothing():
    made = store()
    made.set({"a": 7})
    assert made.declare(ParameterSpec(name="a", default=1)) == 7


def test_all_or_none_is_set():
    made = store()
    assert made.set({"a": 2, "c": 1.5}) == Change(True)
    assert made.set({"a": 3, "c": 1}).ok is False
    assert (made.get("a"), made.get("c")) == (2, 1.5)
    assert made.set({"b": "y"}).reason == (
        "parameter 'b' is read-only; give it a value at the start of the node"
    )
    assert made.set({"typo": 1}).reason == "there is no parameter 'typo'; there are a, b, c"
    with pytest.raises(UsageError, match="no parameter 'typo'"):
        made.get("typo")


def test_validators_see_only_what_fits_and_may_refuse():
    made, seen, told = store(), [], []
    made.on_change(told.append)
    made.validate_with(lambda changes: seen.append(dict(changes)))
    made.validate_with(lambda changes: "too much" if changes.get("a") == 9 else None)
    assert made.set({"a": -1}).ok is False
    assert made.set({"a": 9}) == Change(False, "too much")
    assert made.set({"a": 8}) == Change(True)
    assert seen == [{"a": 9}, {"a": 8}]
    assert told == [{"a": 8}]
    assert made.get("a") == 8


def test_changes_of_many_threads_are_not_mixed():
    made = ParameterStore()
    for name in "xy":
        made.declare(ParameterSpec(name=name, default=0))
    made.validate_with(lambda changes: None if changes["x"] == changes["y"] else "mixed")
    wrong = []
    made.on_change(lambda _: wrong.append(1) if made.get("x") != made.get("y") else None)
    threads = [
        threading.Thread(
            target=lambda start: [made.set({"x": n, "y": n}) for n in range(start, start + 200)],
            args=(start,),
        )
        for start in (0, 1000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("prefixes", "depth", "found"),
    [
        ([], 0, ["a", "b.c", "b.d.e", "bb"]),
        ([], 1, ["a", "bb"]),
        ([], 2, ["a", "b.c", "bb"]),
        (["b"], 0, ["b.c", "b.d.e"]),
        (["b"], 1, ["b.c"]),
        (["a"], 1, ["a"]),
        (["b.d", "a"], 0, ["a", "b.d.e"]),
        (["nothing"], 0, []),
    ],
)
def test_lists(prefixes, depth, found):
    assert under(["a", "b.c", "b.d.e", "bb"], prefixes, depth) == found
