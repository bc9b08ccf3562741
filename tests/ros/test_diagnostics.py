"""States of nodes on /diagnostics."""

from __future__ import annotations

import pytest

from owseg_ros.diagnostics import Diagnostics, Level, Status, text

ARRAY = "diagnostic_msgs/msg/DiagnosticArray"


def test_states_arrive_with_names_levels_and_values(host, runtime, eventually):
    got = []
    host.subscription(ARRAY, "/diagnostics", got.append)
    node = runtime.node("camera", namespace="/front")
    diagnostics = Diagnostics(node, "serial 7")
    values = {"rate (Hz)": 29.97, "frames": 3, "last error": "-"}

    def arrived():
        fine = Status(name="images", values=values)
        bad = Status(name="engine", level=Level.ERROR, message="no model")
        assert diagnostics.publish([fine, bad])
        return got

    assert eventually(arrived)
    first, second = got[0].status
    assert (first.name, first.message, first.hardware_id) == (
        "front/camera: images",
        "ok",
        "serial 7",
    )
    assert [(pair.key, pair.value) for pair in first.values] == [
        ("rate (Hz)", "30.0"),
        ("frames", "3"),
        ("last error", "-"),
    ]
    levels = [status.level for status in (first, second)]
    assert [level[0] if isinstance(level, bytes) else level for level in levels] == [0, 2]
    assert second.message == "no model"
    assert abs(got[0].header.stamp.sec - node.clock.now_ns() // 10**9) <= 5


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (1.26, "1.3"), (0.0, "0.0"), (12, "12"), ("x", "x")]
)
def test_values_are_written_for_people(value, shown):
    assert text(value) == shown
