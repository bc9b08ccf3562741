"""Quality of service: what fits, what parameters make of it, how a misfit reads."""

from __future__ import annotations

from itertools import product

import pytest

from owseg.errors import UsageError
from owseg_ros.hosts.diagnosis import mismatch_text
from owseg_ros.hosts.entities import Endpoint
from owseg_ros.hosts.overrides import QosOverrides
from owseg_ros.hosts.parameters import ParameterStore
from owseg_ros.hosts.qos import (
    DEFAULT,
    LATCHED,
    SENSOR_DATA,
    QosProfile,
    incompatible,
    with_overrides,
)


def test_a_subscription_may_ask_for_less_but_not_for_more():
    found = {
        (offered, requested): incompatible(
            QosProfile(reliability=offered[0], durability=offered[1]),
            QosProfile(reliability=requested[0], durability=requested[1]),
        )
        for offered, requested in product(
            product(("reliable", "best_effort"), ("volatile", "transient_local")), repeat=2
        )
    }
    for (offered, requested), names in found.items():
        assert ("reliability" in names) == (
            offered[0] == "best_effort" and requested[0] == "reliable"
        )
        assert ("durability" in names) == (
            offered[1] == "volatile" and requested[1] == "transient_local"
        )


@pytest.mark.parametrize(
    "options",
    [{"reliability": "maybe"}, {"durability": "forever"}, {"history": "some"}, {"depth": -1}],
)
def test_unknown_policies_are_refused(options):
    with pytest.raises(UsageError, match="QoS"):
        QosProfile(**options)


def test_profiles_read_well():
    assert str(SENSOR_DATA) == "best_effort, volatile, keep_last depth 1"
    assert str(QosProfile(history="keep_all")) == "reliable, volatile, keep_all"
    assert LATCHED.latched
    assert not DEFAULT.latched


def test_overrides_replace_single_policies():
    values = {"reliability": "reliable", "depth": 5}
    assert with_overrides(SENSOR_DATA, values) == QosProfile(depth=5)
    for bad in ({"depth": 0}, {"depth": "5"}, {"depth": True}, {"history": "x"}):
        with pytest.raises(UsageError):
            with_overrides(DEFAULT, bad)


def overrides(**given):
    store = ParameterStore({f"qos_overrides./image.subscription.{k}": v for k, v in given.items()})
    return QosOverrides(store), store


def test_overrides_are_read_only_parameters():
    made, store = overrides(reliability="reliable")
    assert made.apply("/image", "subscription", SENSOR_DATA) == QosProfile(depth=1)
    assert made.apply("/image", "publisher", SENSOR_DATA) == SENSOR_DATA
    name = "qos_overrides./image.subscription.reliability"
    assert store.spec(name).read_only
    assert "best_effort" in store.spec(name).constraints
    assert "qos_overrides./image.publisher.depth" in store.names()


def test_a_wrong_override_is_refused():
    for given in ({"reliability": "best"}, {"depth": 0}):
        made, _ = overrides(**given)
        with pytest.raises(UsageError, match=r"qos_overrides\./image\.subscription"):
            made.apply("/image", "subscription", DEFAULT)


def test_a_second_subscription_keeps_what_it_asks_for():
    made, _ = overrides(depth=3)
    assert made.apply("/image", "subscription", LATCHED).latched
    second = made.apply("/image", "subscription", SENSOR_DATA)
    assert second == QosProfile(reliability="best_effort", depth=3)


def test_a_misfit_names_both_sides_and_the_line_that_fixes_it():
    peer = Endpoint("/driver", "/image", "sensor_msgs/msg/Image", SENSOR_DATA)
    assert mismatch_text("/image", "subscription", DEFAULT, peer) == (
        "nothing from /driver on /image: it offers best_effort, we ask for reliable; set "
        "qos_overrides./image.subscription.reliability: best_effort"
    )
    asking = Endpoint("", "/image", "sensor_msgs/msg/Image", LATCHED)
    assert mismatch_text("/image", "publisher", SENSOR_DATA, asking) == (
        "an unnamed node gets nothing on /image: it asks for reliable and transient_local, we "
        "offer best_effort and volatile; set qos_overrides./image.publisher.reliability: "
        "reliable, qos_overrides./image.publisher.durability: transient_local"
    )
