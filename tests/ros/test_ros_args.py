"""The ROS part of a command line, and parameter files."""

from __future__ import annotations

import math

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.names import Remap
from owseg_ros.hosts.parameter_files import (
    Override,
    overrides_for,
    parse_value,
    read_parameter_file,
)
from owseg_ros.hosts.ros_args import parse_ros_args

# The command line --------------------------------------------------------------------------------


def test_everything_at_once():
    args = parse_ros_args(
        [
            *("--json", "in.bag", "--ros-args", "-r", "image:=/raw", "--remap", "cam:__ns:=/front"),
            *("-r", "rosservice://a:=b", "-r", "perception:rostopic:=c"),
            *("--log-level", "debug", "--log-level", "cam:=ERROR", "-e", "/e"),
            *("-p", "x:=1", "--param", "cam:y:=[a, b]", "--disable-rosout-logs", "--", "more"),
            *("--ros-args", "--enable-stdout-logs"),
        ]
    )
    assert args.rest == ("--json", "in.bag", "more")
    assert args.remaps == (
        Remap("image", "/raw"),
        Remap("__ns", "/front", "cam"),
        Remap("a", "b", kind="service"),
        Remap("rostopic", "c", "perception"),
    )
    assert args.overrides == (Override("/**", "x", 1), Override("/cam", "y", ("a", "b")))
    assert (args.level_of("cam"), args.level_of("other")) == ("ERROR", "DEBUG")
    assert (args.rosout, args.console, args.enclave) == (False, True, "/e")


def test_without_a_ros_part_all_is_left():
    args = parse_ros_args(["-r", "a:=b", "--", "-p"])
    assert args.rest == ("-r", "a:=b", "--", "-p")
    assert (args.remaps, args.overrides, args.level_of("x")) == ((), (), "")
    assert parse_ros_args([]).rest == ()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["-r"], "-r needs a value"),
        (["-r", "a"], "-r takes from:=to, got 'a'"),
        (["-r", "a:="], "from:=to"),
        (["-r", ":=b"], "-r takes from:=to, got ':=b'"),
        (["-r", "node::=b"], r"\[node:\]from:=to"),
        (["-p", "x=1"], "name:=value"),
        (["-p", "x:=[1, b]"], "values of one type"),
        (["-p", "x:={a: 1}"], "value or a list"),
        (["--log-level", "loud"], "debug, info, warn, error, fatal, got 'loud'"),
        (["--nonsense"], "unknown ROS argument '--nonsense'"),
        (["--params-file", "/nowhere.yaml"], "cannot read parameter file /nowhere.yaml: No such"),
    ],
)
def test_what_makes_no_sense_is_refused(words, reason):
    with pytest.raises(UsageError, match=reason):
        parse_ros_args(["--ros-args", *words])


def test_the_last_value_wins_whether_from_a_file_or_not(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text("/**: {ros__parameters: {x: 1, y: 1, z: 1}}")
    words = ["-p", "x:=0", "--params-file", str(file), "-p", "y:=2"]
    args = parse_ros_args(["--ros-args", *words])
    assert args.parameters_of("/node") == {"x": 1, "y": 2, "z": 1}


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1", 1), ("-5", -5), ("+7", 7), ("0x1F", 31), ("1.0", 1.0), ("1.", 1.0), (".5", 0.5)),
        *(("1e3", 1000.0), ("-1.5E-3", -0.0015), (".inf", math.inf), ("-.INF", -math.inf)),
        *(("true", True), ("False", False), ("yes", True), ("off", False), ("y", True)),
        *(("text", "text"), ("two words", "two words"), ("'1'", "1"), ('"yes"', "yes"), ("", "")),
        *(("/a/b.yaml", "/a/b.yaml"), ("1.2.3", "1.2.3"), ("2020-01-01", "2020-01-01")),
        *(
            ("!!str 12", "12"),
            ("[1, 2]", (1, 2)),
            ("[1.0, .5]", (1.0, 0.5)),
            ("[a, 'b']", ("a", "b")),
        ),
        *(("[true, no]", (True, False)), ("[]", ())),
    ],
)
def test_values_are_read_as_ros_reads_them(text, value):
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number():
    assert math.isnan(parse_value(".nan"))


@pytest.mark.parametrize("text", ["[1, 2.0]", "[[1], [2]]", "[a, 1]", "{a: 1}", "[a", "~", "[~]"])
def test_what_is_no_value_is_refused(text):
    with pytest.raises(UsageError, match="parameter value"):
        parse_value(text)


# Files -------------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_text(
        "# a comment\n/**:\n  ros__parameters:\n    use_sim_time: yes\n    a: {b: 1, c: {d: x}}\n"
        "front:\n  camera: {ros__parameters: {fps: 30.0}}\n  /left: {ros__parameters: {fps: 1.0}}\n"
        "/back/camera: {ros__parameters: {names: [p, q]}}\nempty: {ros__parameters: {}}\n"
    )
    assert read_parameter_file(file) == [
        Override("/**", "use_sim_time", True),
        Override("/**", "a.b", 1),
        Override("/**", "a.c.d", "x"),
        Override("/front/camera", "fps", 30.0),
        Override("/front/left", "fps", 1.0),
        Override("/back/camera", "names", ("p", "q")),
    ]


def test_an_empty_file_says_nothing(tmp_path):
    (tmp_path / "p.yaml").write_text("# nothing\n")
    assert read_parameter_file(tmp_path / "p.yaml") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ros__parameters: {a: 1}", "must stand below a node name"),
        ("node: {a: 1}", "'/node/a' must hold node names"),
        ("[1, 2]", "the top' must hold"),
        ("node: {ros__parameters: 3}", "of /node must hold name: value"),
        ("node: {ros__parameters: {a: [1, b]}}", "'a' of /node: a list must hold values of one"),
        ("node: {ros__parameters: {a: }}", "'a' of /node: has no value; write ''"),
        ("a: b: c", "is not YAML: mapping values are not allowed"),
        ("\tx: 1", "is not YAML"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, text, reason):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=reason) as caught:
        read_parameter_file(file)
    assert "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    file = tmp_path / "latin.yaml"
    file.write_bytes("a: \xe4".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.yaml"):
        read_parameter_file(file)


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("/**", ["/a", "/a/b", "/a/b/c"], []),
        ("/*", ["/a"], ["/a/b"]),
        ("/a/*", ["/a/b"], ["/a", "/a/b/c", "/b/a"]),
        ("/a/**", ["/a/b", "/a/b/c"], ["/b", "/ab"]),
        ("/**/b", ["/b", "/a/b", "/c/a/b"], ["/a", "/a/b/c", "/ab"]),
        ("/a", ["/a"], ["/a/a", "/ab"]),
        ("/a.b", [], ["/aXb"]),
    ],
)
def test_patterns_name_nodes(pattern, matches, others):
    override = [Override(pattern, "x", 1)]
    assert [name for name in [*matches, *others] if overrides_for(override, name)] == matches


def test_of_the_sections_that_fit_the_last_one_to_be_named_wins():
    overrides = [
        Override("/front/cam", "x", 1),
        Override("/**", "x", 2),
        Override("/front/*", "y", 3),
    ]
    assert overrides_for(overrides, "/front/cam") == {"x": 2, "y": 3}
    assert overrides_for(overrides, "/back/cam") == {"x": 2}
    assert overrides_for([*overrides[1:], overrides[0]], "/front/cam") == {"x": 1, "y": 3}


def test_a_section_counts_where_it_was_first_named(tmp_path):
    """As rcl keeps them: one set of values for each section, whatever names it again."""
    file = tmp_path / "p.yaml"
    file.write_text("/front/cam: {ros__parameters: {x: 1, y: 1}}")
    words = ["--params-file", str(file), "-p", "x:=2"]
    assert parse_ros_args(["--ros-args", *words]).parameters_of("/front/cam") == {"x": 2, "y": 1}
    words = ["-p", "z:=0", *words]
    args = parse_ros_args(["--ros-args", *words])
    assert args.parameters_of("/front/cam") == {"z": 0, "x": 1, "y": 1}
