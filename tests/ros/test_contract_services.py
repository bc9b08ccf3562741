"""Services between two processes, whichever hosts they run on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from owseg.errors import HostError, UsageError

TRIGGER = "std_srvs/srv/Trigger"
SET_BOOL = "std_srvs/srv/SetBool"
ADD_CLASS = "owseg_msgs/srv/AddClass"
IMAGE = "sensor_msgs/msg/Image"


def answering(host, **fields):
    return lambda request: host.messages.response(TRIGGER, success=True, **fields)


def test_another_process_is_answered(host, peer, topic):
    host.service(TRIGGER, topic, answering(host, message="done"))
    assert peer.ask("call", type=TRIGGER, name=topic) == {"success": True, "message": "done"}


def test_another_process_answers(host, peer, topic):
    peer.ask("echo_service", name=topic)
    client = host.client(SET_BOOL, topic)
    assert client.wait(5)
    for value in (True, False):
        response = client.call(host.messages.request(SET_BOOL, data=value))
        assert (response.success, response.message) == (True, f"{topic} got {value}")


def test_each_client_gets_its_own_answers(host, peer, topic):
    peer.ask("echo_service", name=topic)
    clients = [host.client(SET_BOOL, topic) for _ in range(2)]
    values = [bool(number % 3) for number in range(10)]
    requests = [host.messages.request(SET_BOOL, data=value) for value in values]
    assert all(client.wait(5) for client in clients)
    futures = [clients[i % 2].call_async(request) for i, request in enumerate(requests)]
    texts = [future.result(5).message for future in futures]
    assert texts == [f"{topic} got {value}" for value in values]


@pytest.mark.parametrize(("height", "width"), [(3, 5), (1080, 1920)])
def test_images_and_vectors_travel_in_a_request(host, peer, topic, picture, height, width):
    if not host.messages.has(ADD_CLASS):
        pytest.skip("owseg_msgs is not built")
    asked = []

    def add(request):
        asked.append(request)
        return host.messages.response(
            ADD_CLASS, success=True, message="added", class_id=20, version=2**40
        )

    host.service(ADD_CLASS, topic, add)
    size = {"height": height, "width": width}
    image = {"__type": IMAGE, **size, "encoding": "rgb8", "step": width * 3}
    mask = {"__type": IMAGE, **size, "encoding": "mono8", "step": width}
    fields = {
        "name": "cöne",
        "color": [255, 128, 0],
        "images": [
            {**image, "data": {"__random": [height * width * 3, seed]}} for seed in range(2)
        ],
        "masks": [{**mask, "data": {"__random": [height * width, seed]}} for seed in range(2)],
        "vectors": [0.5, -1.0, 3.25],
        "size": 3,
        "radius": 0.1,
    }
    response = peer.ask("call", type=ADD_CLASS, name=topic, fields=fields, timeout=10)
    assert response == {"success": True, "message": "added", "class_id": 20, "version": 2**40}
    (request,) = asked
    assert (request.name, request.size, request.radius) == ("cöne", 3, 0.1)
    assert np.asarray(request.color).tolist() == [255, 128, 0]
    assert np.asarray(request.vectors, np.float32).tolist() == [0.5, -1.0, 3.25]
    assert [item.encoding for item in request.masks] == ["mono8", "mono8"]
    for seed, item in enumerate(request.images):
        assert np.array_equal(np.asarray(item.data), picture(height * width * 3, seed))
    for seed, item in enumerate(request.masks):
        assert np.array_equal(np.asarray(item.data), picture(height * width, seed))


def test_a_user_error_becomes_the_answer(host, peer, topic):
    def refuse(request):
        raise UsageError("the name is taken; choose another")

    host.service(TRIGGER, topic, refuse)
    answer = peer.ask("call", type=TRIGGER, name=topic)
    assert answer == {"success": False, "message": "the name is taken; choose another"}


def test_a_surprise_becomes_an_answer_and_a_traceback(host, peer, topic, capfd):
    def stumble(request):
        raise ZeroDivisionError("oops")

    host.service(TRIGGER, topic, stumble)
    answer = peer.ask("call", type=TRIGGER, name=topic)
    assert answer["success"] is False
    assert "oops" in answer["message"]
    assert "Traceback" in capfd.readouterr().err
    assert peer.ask("call", type=TRIGGER, name=topic) == answer


def test_a_handler_may_call_a_service_and_wait(host, peer, topic):
    peer.ask("echo_service", name=f"{topic}/inner")
    inner = host.client(SET_BOOL, f"{topic}/inner")

    def relay(request):
        response = inner.call(host.messages.request(SET_BOOL, data=True))
        return host.messages.response(TRIGGER, success=True, message=response.message)

    host.service(TRIGGER, f"{topic}/outer", relay)
    answer = peer.ask("call", type=TRIGGER, name=f"{topic}/outer")
    assert answer["message"] == f"{topic}/inner got True"


def test_a_slow_service_has_a_group_of_its_own(host, peer, topic):
    go = threading.Event()

    def slow(request):
        go.wait(5)
        return host.messages.response(TRIGGER, success=True)

    host.service(TRIGGER, f"{topic}/slow", slow, group=host.group("slow"))
    host.service(TRIGGER, f"{topic}/quick", answering(host))
    client = host.client(TRIGGER, f"{topic}/slow")
    assert client.wait(5)
    future = client.call_async(host.messages.request(TRIGGER))
    assert peer.ask("call", type=TRIGGER, name=f"{topic}/quick")["success"]
    assert not future.done()
    go.set()
    assert future.result(5).success


def test_nobody_there_is_said_with_the_remedy(host, topic):
    client = host.client(TRIGGER, topic)
    assert not client.ready
    with pytest.raises(HostError, match=f"nobody offers service {topic}.*ROS_DOMAIN_ID"):
        client.call(host.messages.request(TRIGGER), timeout_s=0.05)


def test_no_answer_in_time_is_said(host, topic):
    go = threading.Event()

    def late(request):
        go.wait(5)
        return host.messages.response(TRIGGER)

    host.service(TRIGGER, topic, late, group=host.group("late"))
    client = host.client(TRIGGER, topic)
    assert client.wait(5)
    with pytest.raises(HostError, match=f"{topic} did not answer within 0.05 s"):
        client.call(host.messages.request(TRIGGER), timeout_s=0.05)
    go.set()


def test_a_service_can_go_and_come_back(host, topic, eventually):
    client = host.client(TRIGGER, topic)
    service = host.service(TRIGGER, topic, answering(host, message="first"))
    assert client.call(host.messages.request(TRIGGER)).message == "first"
    service.destroy()
    assert eventually(lambda: not client.ready)
    host.service(TRIGGER, topic, answering(host, message="second"))
    assert client.call(host.messages.request(TRIGGER)).message == "second"


def test_destroying_a_client_cancels_its_calls(host, topic, eventually):
    go = threading.Event()
    group = host.group("late")
    host.service(TRIGGER, topic, lambda _: go.wait(5) and answering(host)(None), group=group)
    client = host.client(TRIGGER, topic)
    assert client.wait(5)
    future = client.call_async(host.messages.request(TRIGGER))
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(client.call, host.messages.request(TRIGGER), 5)
        assert eventually(lambda: len(client._open) == 2)
        client.destroy()
        assert future.cancelled()
        with pytest.raises(HostError, match="was given up"):
            blocked.result(5)
    go.set()


def test_many_callers_at_once(host, peer, topic):
    count = []
    host.service(SET_BOOL, topic, lambda r: count.append(r) or _text(host, f"{len(count)}"))
    client = host.client(SET_BOOL, topic)
    request = host.messages.request(SET_BOOL)
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: client.call(request).message, range(40)))
    assert sorted(texts, key=int) == [str(number + 1) for number in range(40)]


def _text(host, text):
    return host.messages.response(SET_BOOL, success=True, message=text)
