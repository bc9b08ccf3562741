"""DDS underneath: the two ways of moving samples, the domain, and what is read from it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from owseg.errors import HostError, UsageError
from owseg_ros.hosts.standalone import domain

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

from owseg_ros.hosts.qos import LATCHED, LATEST, SENSOR_DATA, SERVICES
from owseg_ros.hosts.standalone import cyclone, network, policies, raw_topics, wire
from owseg_ros.hosts.standalone.services import _frame, _unframe

IMAGE = "sensor_msgs/msg/Image"


@pytest.fixture(scope="session")
def kinds():
    return ("standalone", "standalone")


# Both ways ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [("typed", "raw"), ("raw", "typed")])
def test_the_two_ways_understand_each_other(
    start, new_peer, topic, eventually, monkeypatch, picture, ours, theirs
):
    monkeypatch.setenv(network.WIRE_VARIABLE, ours)
    runtime = start()
    assert runtime._network.topics.name == ours
    host = runtime.node("tested")
    other = new_peer(env={network.WIRE_VARIABLE: theirs})
    got = []
    host.subscription(IMAGE, f"{topic}/in", lambda m: got.append(m), LATEST)
    publisher = host.publisher(IMAGE, f"{topic}/out", LATCHED)
    data = picture(1080 * 1920 * 3, 5)
    publisher.publish(host.messages.make(IMAGE, height=1080, data=data))
    latched = {"durability": "transient_local", "depth": 1}
    other.ask("subscribe", type=IMAGE, topic=f"{topic}/out", qos=latched)
    (message,) = other.ask("received", topic=f"{topic}/out", count=1)
    assert message["data"] == hashlib.sha256(data.tobytes()).hexdigest()
    other.ask("publisher", type=IMAGE, topic=f"{topic}/in")
    fields = {"height": 7, "data": {"__random": [12345, 9]}}
    other.ask("publish", topic=f"{topic}/in", fields=fields, wait_for=1)
    assert eventually(lambda: got)
    assert np.array_equal(np.asarray(got[0].data), picture(12345, 9))
    other.ask("echo_service", name=f"{topic}/echo")
    client = host.client("std_srvs/srv/SetBool", f"{topic}/echo")
    assert client.call(host.messages.request("std_srvs/srv/SetBool", data=True)).success
    answer = other.ask(
        "call", type="rcl_interfaces/srv/ListParameters", name="/tested/list_parameters"
    )
    assert "use_sim_time" in answer["result"]["names"]


def test_the_fast_way_is_taken_where_it_fits(start):
    fits = cyclone.raw_version_fits()
    assert start()._network.topics.name == ("raw" if fits else "typed")


def test_another_version_takes_the_slow_way(start, monkeypatch):
    monkeypatch.setattr(cyclone, "RAW_VERSION", "0.0.1")
    assert start()._network.topics.name == "typed"
    monkeypatch.setenv(network.WIRE_VARIABLE, "raw")
    with pytest.raises(HostError, match=r"raw samples need cyclonedds 0\.0\.1"):
        start()
    monkeypatch.setenv(network.WIRE_VARIABLE, "fast")
    with pytest.raises(UsageError, match="must be raw or typed, got 'fast'"):
        start()


def test_the_self_test_notices_changed_bytes(start, monkeypatch):
    participant = start()._network.participant
    assert raw_topics.works(participant) is cyclone.raw_version_fits()
    honest = raw_topics._RawReader.take

    def corrupt(self):
        samples = honest(self)
        return [item._replace(data=memoryview(bytes(item.data)[:-1] + b"?")) for item in samples]

    monkeypatch.setattr(raw_topics._RawReader, "take", corrupt)
    assert raw_topics.works(participant) is False


# What goes over the wire -------------------------------------------------------------------------


def test_type_names():
    assert wire.dds_type_name(IMAGE) == "sensor_msgs::msg::dds_::Image_"
    assert wire.dds_type_name("a/srv/B_Request") == "a::srv::dds_::B_Request_"
    assert wire.ros_type_name("sensor_msgs::msg::dds_::Image_") == IMAGE
    for other in ("Plain", "a::b::c::d_", "a::msg::dds_::Image"):
        assert wire.ros_type_name(other) == other


def test_a_service_message_has_its_header_before_its_fields():
    header = bytes(range(16))
    parts = _frame(header, [b"\x00\x01\x00\x00rest", b"tail"])
    data = b"".join(bytes(part) for part in parts)
    assert data == b"\x00\x01\x00\x00" + header + b"resttail"
    assert [bytes(part) for part in _unframe(memoryview(data))] == [
        header,
        b"\x00\x01\x00\x00resttail",
    ]


@pytest.mark.parametrize("profile", [LATCHED, SENSOR_DATA, LATEST])
def test_profiles_survive_dds(profile):
    qos = policies.to_dds(profile, "typehash=RIHS01_x;clientid=7;")
    back = policies.from_dds(qos)
    assert (back.reliability, back.durability) == (profile.reliability, profile.durability)
    assert policies.user_data(qos) == {"typehash": "RIHS01_x", "clientid": "7"}


def test_everything_is_announced_as_ros_does(start, eventually, topic):
    runtime = start()
    host = runtime.node("announced")
    host.publisher(IMAGE, topic, LATCHED)
    host.service("std_srvs/srv/Trigger", topic, print)
    graph = runtime._network.graph
    (writer,) = eventually(lambda: graph.endpoints(f"rt{topic}", writes=True))
    type_hash = host.messages.type_hash(IMAGE)
    assert writer.user_data == {"typehash": type_hash}
    assert writer.type_name == "sensor_msgs::msg::dds_::Image_"
    (request,) = eventually(lambda: graph.endpoints(f"rq{topic}Request", writes=False))
    (reply,) = eventually(lambda: graph.endpoints(f"rr{topic}Reply", writes=True))
    assert request.type_name == "std_srvs::srv::dds_::Trigger_Request_"
    assert reply.type_name == "std_srvs::srv::dds_::Trigger_Response_"
    assert request.user_data["serviceid"] == reply.user_data["serviceid"]
    assert (request.qos.reliability, request.qos.durability) == ("reliable", "volatile")
    (info,) = eventually(lambda: graph.endpoints("ros_discovery_info", writes=True)[:1])
    assert info.type_name == "rmw_dds_common::msg::dds_::ParticipantEntitiesInfo_"
    assert info.qos.durability == "transient_local"
    type_hash = host.messages.type_hash("rmw_dds_common/msg/ParticipantEntitiesInfo")
    assert info.user_data == {"typehash": type_hash}
    assert type_hash.startswith("RIHS01_91a0593b")


def test_a_server_waits_for_a_client_that_it_cannot_reach_yet(start, eventually, topic):
    runtime = start()
    service = runtime.node("server").service("std_srvs/srv/Trigger", topic, print)
    topics, request = runtime._network.topics, "std_srvs/srv/Trigger_Request"

    def asks(data):
        writer = topics.writer(f"rq{topic}Request", request, policies.to_dds(SERVICES, data))
        handle = writer.entity.instance_handle & (2**64 - 1)
        assert eventually(lambda: runtime._network.graph.by_handle(handle))
        return writer, handle

    lonely, handle = asks("clientid=lonely;")
    assert service._client_listens(handle) is False
    reply = policies.to_dds(SERVICES, "clientid=lonely;")
    reader = topics.reader(f"rr{topic}Reply", "std_srvs/srv/Trigger_Response", reply)
    assert eventually(lambda: service._client_listens(handle))
    nameless, handle = asks("")
    assert service._client_listens(handle) is True
    assert service._client_listens(12345) is False
    del lonely, reader, nameless


def test_a_process_that_vanishes_takes_its_nodes_along(start, eventually):
    host, other = start().node("staying"), start()
    other.node("vanishing")
    assert eventually(lambda: "/vanishing" in host.graph.nodes())
    other._network.close()
    other._nodes.clear()
    assert eventually(lambda: host.graph.nodes() == ["/staying"])


# The domain --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "number"), [(None, 0), ("", 0), ("7", 7), (" 232 ", 232)])
def test_the_domain_is_that_of_the_environment(text, number):
    assert domain.domain_id({} if text is None else {"ROS_DOMAIN_ID": text}) == number


@pytest.mark.parametrize("text", ["-1", "233", "x", "1.0"])
def test_a_domain_that_does_not_exist_is_refused(text):
    with pytest.raises(UsageError, match=rf"0\.\.232, got '{text}'"):
        domain.domain_id({"ROS_DOMAIN_ID": text})


def test_discovery_is_set_up_as_ros_does():
    auto = "<ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>32</"
    subnet = domain.configuration({})
    assert auto in subnet
    assert "AllowMulticast" not in subnet
    assert "<Peer" not in subnet
    localhost = domain.configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost"})
    assert localhost == domain.configuration({"ROS_LOCALHOST_ONLY": "1"})
    assert auto in localhost
    assert "<AllowMulticast>false</AllowMulticast>" in localhost
    assert '<Peers><Peer address="localhost"/></Peers>' in localhost
    off = domain.configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"})
    assert "<ParticipantIndex>none</ParticipantIndex><Tag>ros_discovery_off_" in off
    default = domain.configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"})
    assert "Discovery" not in default


def test_peers_and_cyclones_own_settings_are_added():
    text = domain.configuration(
        {"ROS_STATIC_PEERS": "10.0.0.1; host<2>;", "CYCLONEDDS_URI": "<CycloneDDS/>"}
    )
    assert '<Peers><Peer address="10.0.0.1"/><Peer address="host&lt;2&gt;"/></Peers>' in text
    assert text.endswith("</CycloneDDS>,<CycloneDDS/>")


def test_who_calls_over_the_loopback_interface_is_heard_where_all_keep_to_the_machine(tmp_path):
    def interfaces(uri="", reach="LOCALHOST"):
        text = domain.configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": reach, "CYCLONEDDS_URI": uri})
        return text.split("</CycloneDDS>")[0].count("<NetworkInterface ")

    assert interfaces() == interfaces("<CycloneDDS/>") == interfaces("file:///missing.xml") == 2
    assert interfaces(reach="SUBNET") == interfaces(reach="OFF") == 0
    own = '<CycloneDDS><Domain><General><Interfaces><NetworkInterface name="eth1"/>'
    (tmp_path / "my own.xml").write_text(own, encoding="utf-8")
    for uri in (own, f"<CycloneDDS/>, {own}", (tmp_path / "my own.xml").as_uri()):
        assert interfaces(uri) == 0, uri


def test_an_unknown_range_is_refused():
    with pytest.raises(UsageError, match="SUBNET, LOCALHOST, OFF, SYSTEM_DEFAULT, got 'WORLD'"):
        domain.configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": "world"})


def test_settings_that_cyclone_refuses_are_a_clear_error(start, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "231")
    monkeypatch.setenv("CYCLONEDDS_URI", "<CycloneDDS><Nonsense/></CycloneDDS>")
    with pytest.raises(HostError, match="check CYCLONEDDS_URI"):
        start()
