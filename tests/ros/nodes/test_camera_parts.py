"""Parts of the camera: when images are due, and how a calibration is read."""

from __future__ import annotations

import pytest

from owseg.errors import InputError, UsageError
from owseg_ros.camera.calibration import read_calibration
from owseg_ros.camera.options import declare_options
from owseg_ros.camera.pace import LATE_S, USUAL_GAP_S, Pace
from owseg_ros.hosts.parameters import ParameterStore

S = 10**9


def due_times(pace, recorded, now=0.0):
    """Return when images are due for a reader that is never late."""
    times = []
    for stamp in recorded:
        now = pace.next(stamp, now)
        times.append(now)
    return times


@pytest.mark.parametrize("name", ["source", "camera_info"])
def test_a_tilde_without_a_home_directory_is_named(homeless, name):
    store = ParameterStore({"source": "x.mcap", name: "~/y"})
    with pytest.raises(UsageError, match=r"'~/y' begins with ~, .* set HOME"):
        declare_options(store)


def test_images_come_as_they_were_recorded():
    recorded = [5 * S, 5 * S + S // 4, 6 * S]
    assert due_times(Pace(), recorded, now=100.0) == pytest.approx([100.0, 100.25, 101.0])


def test_a_rate_outranks_the_recording():
    recorded = [5 * S, 5 * S, 60 * S]
    assert due_times(Pace(4.0), recorded, now=1.0) == pytest.approx([1.0, 1.25, 1.5])


def test_a_recording_that_jumps_back_is_not_waited_for():
    assert due_times(Pace(), [5 * S, 3 * S, 4 * S]) == pytest.approx([0.0, 0.0, 1.0])


def test_little_delay_is_made_up_for_and_much_is_not():
    pace = Pace(10.0)
    assert pace.next(0, 7.0) == 7.0
    assert pace.next(1, 7.1 + LATE_S) == pytest.approx(7.1)
    late = 7.2 + LATE_S + 0.01
    assert pace.next(2, late) == late
    assert pace.next(3, late) == pytest.approx(late + 0.1)


def test_a_second_pass_follows_on_the_first():
    pace = Pace()
    first = due_times(pace, [2 * S, 2 * S + S // 2], now=10.0)
    pace.begin_pass()
    assert due_times(pace, [2 * S, 2 * S + S // 2], now=first[-1]) == pytest.approx([11.0, 11.5])


def test_one_image_alone_is_not_repeated_without_end():
    pace, times = Pace(), []
    for _ in range(3):
        times += due_times(pace, [2 * S], now=times[-1] if times else 0.0)
        pace.begin_pass()
    assert times == pytest.approx([0.0, USUAL_GAP_S, 2 * USUAL_GAP_S])
    equal = Pace()
    due_times(equal, [S, S])
    equal.begin_pass()
    assert equal.next(S, 0.0) == pytest.approx(USUAL_GAP_S)


def test_the_time_of_the_recording_goes_on_between_two_images():
    pace = Pace(2.0)  # half a second between images that were recorded a second apart
    assert pace.recorded_ns(0.0) is None
    assert pace.next(7 * S, 10.0) == 10.0
    assert pace.recorded_ns(9.9) is None
    assert pace.recorded_ns(10.0) == 7 * S
    assert pace.next(8 * S, 10.1) == 10.5
    assert pace.recorded_ns(10.0) == 7 * S
    assert pace.recorded_ns(10.25) == 7 * S + S // 2
    assert pace.recorded_ns(10.5) == pace.recorded_ns(11.0) == 8 * S


def test_the_time_of_the_recording_stands_between_two_passes():
    pace = Pace()
    due_times(pace, [7 * S, 8 * S])
    pace.begin_pass()
    assert pace.next(7 * S, 1.0) == 2.0
    assert pace.recorded_ns(1.5) is None
    assert pace.recorded_ns(2.0) == 7 * S


# Calibration -----------------------------------------------------------------------------------


GOOD = {
    "image_width": 4,
    "image_height": 3,
    "distortion_model": "equidistant",
    "camera_matrix": {"data": list(range(9))},
    "distortion_coefficients": {"data": [0.5, 0.25]},
    "rectification_matrix": {"data": [1.0] * 9},
    "projection_matrix": {"data": list(range(12))},
}


def write(path, changes):
    import json

    path.write_text(json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not None}))
    return path


def test_a_calibration_is_read(tmp_path):
    found = read_calibration(write(tmp_path / "a.yaml", {}))
    assert (found.width, found.height, found.distortion_model) == (4, 3, "equidistant")
    assert (found.d, found.k) == ((0.5, 0.25), tuple(map(float, range(9))))
    assert (found.r, found.p) == ((1.0,) * 9, tuple(map(float, range(12))))


def test_no_distortion_and_no_model_are_fine(tmp_path):
    changes = {"distortion_coefficients": {"data": []}, "distortion_model": None}
    found = read_calibration(write(tmp_path / "a.yaml", changes))
    assert (found.d, found.distortion_model) == ((), "plumb_bob")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_width": None}, "'image_width' is None"),
        ({"image_height": 0}, "'image_height' is 0"),
        ({"image_height": "x"}, "'image_height' is 'x'"),
        ({"camera_matrix": {"data": [1, 2]}}, "'camera_matrix' must hold 9 numbers"),
        ({"camera_matrix": [1] * 9}, "'camera_matrix' must hold 9 numbers"),
        ({"projection_matrix": {"data": ["a"] * 12}}, "'projection_matrix' must hold numbers"),
        ({"distortion_coefficients": {}}, "'distortion_coefficients' must hold numbers"),
        ({"rectification_matrix": None}, "'rectification_matrix' must hold 9"),
    ],
)
def test_a_calibration_that_is_none_is_refused(tmp_path, changes, reason):
    with pytest.raises(InputError, match=reason):
        read_calibration(write(tmp_path / "a.yaml", changes))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[1, 2]", "no keys"),
        (b"a: [", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"", "no keys"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path, content, reason):
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_calibration(tmp_path / "a.yaml")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.yaml cannot be read"):
        read_calibration(tmp_path / "a.yaml")
