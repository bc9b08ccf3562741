"""The prototype server in this process: what runs beside what, and what fails inside."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from owseg.engines import FakeEngine
from owseg.images import encode_image
from owseg.prototypes import PrototypeStore
from owseg_ros.commands.node import start
from owseg_ros.hosts.qos import LATCHED
from owseg_ros.prototype_server import node as module
from owseg_ros.prototype_server.keeper import StoreKeeper, default_store
from owseg_ros.prototype_server.node import PrototypeServer

IMAGE = "sensor_msgs/msg/Image"
SIZE = 10


class HeldEngine(FakeEngine):
    """Waits for a sign at each image, and fails when told to."""

    def __init__(self):
        super().__init__()
        self.may_run = threading.Event()
        self.runs = 0
        self.error = None

    def infer(self, *arguments):
        self.runs += 1
        assert self.may_run.wait(20)
        if self.error is not None:
            raise self.error
        return super().infer(*arguments)


@pytest.fixture
def engine(monkeypatch):
    engine = HeldEngine()
    monkeypatch.setattr(module, "open_engine", lambda *arguments: engine)
    yield engine
    engine.may_run.set()


@pytest.fixture(params=[0.02])
def server(runtime, quick, engine, request):
    """Open a server in this process; the parameter is its time between two looks."""
    parameters = {"store": str(quick / "classes"), "poll_period": request.param}
    server = PrototypeServer(runtime.node("prototype_server", parameters=parameters))
    yield server
    engine.may_run.set()
    server.stop()


@pytest.fixture
def ask(server, client):
    return lambda kind, name, /, **fields: client.call(kind, f"/prototype_server/{name}", **fields)


@pytest.fixture
def example(client):
    """Give the fields of a request with one image."""
    make = client.host.messages.make
    image = np.zeros((96, 128, 3), np.uint8)
    image[:, :64] = (200, 10, 0)
    mask = (image[..., 0] > 0).astype(np.uint8)
    arrays = {"images": image, "masks": mask}
    return {key: [make(IMAGE, **encode_image(array)._asdict())] for key, array in arrays.items()}


VECTOR = {"vectors": np.ones(SIZE, np.float32), "size": SIZE, "radius": 1.0}


def test_other_services_answer_while_a_class_is_learnt(server, engine, ask, example, eventually):
    engine.may_run.set()
    assert ask("AddClass", "add_class", name="old", **VECTOR).success
    engine.may_run.clear()
    runs = engine.runs
    with ThreadPoolExecutor(1) as pool:
        learning = pool.submit(ask, "AddClass", "add_class", name="new", **example)
        assert eventually(lambda: engine.runs > runs)
        names = [item.name for item in ask("ListClasses", "list_classes").classes]
        renamed = ask("RenameClass", "rename_class", name="old", new_name="older")
        undone = ask("Undo", "undo")
        assert not learning.done()
        engine.may_run.set()
        added = learning.result(20)
    assert (names, renamed.success, undone.success) == (["old"], True, True)
    assert (added.success, added.version) == (True, 4)


def test_a_name_that_is_taken_is_refused_before_anything_is_learnt(
    server, engine, ask, example, eventually
):
    engine.may_run.set()
    assert ask("AddClass", "add_class", name="old", **VECTOR).success
    assert eventually(lambda: engine.runs == 1)  # the warm-up
    assert not ask("AddClass", "add_class", name="OLD", **example).success
    assert engine.runs == 1


def test_what_fails_inside_is_an_answer_and_a_line_in_the_log(
    server, engine, ask, example, eventually, capfd
):
    engine.may_run.set()
    assert eventually(lambda: engine.runs == 1)
    engine.error = RuntimeError("two\nlines")
    response = ask("AddClass", "add_class", name="new", **example)
    assert (response.success, response.class_id, response.version) == (False, 255, 0)
    assert "internal error" in response.message
    assert "\n" not in response.message
    assert "RuntimeError: two" in capfd.readouterr().err
    engine.error = None
    assert ask("AddClass", "add_class", name="new", **example).success


@pytest.mark.parametrize("server", [60.0], indirect=True)
def test_a_change_of_its_own_is_told_at_once(server, engine, ask, client, eventually):
    engine.may_run.set()
    inbox = client.listen("owseg_msgs/msg/PrototypeSet", "/prototypes", LATCHED)
    assert ask("AddClass", "add_class", name="v", **VECTOR).success
    assert ask("RemoveClass", "remove_class", name="v").success
    assert eventually(lambda: inbox and inbox[-1].version == 2)


def test_a_warm_up_that_fails_does_not_stop_the_server(server, engine, ask):
    engine.error = RuntimeError("cold")
    engine.may_run.set()
    assert ask("AddClass", "add_class", name="v", **VECTOR).success


def test_a_set_that_could_not_be_sent_is_sent_later(
    server, engine, ask, client, eventually, monkeypatch
):
    engine.may_run.set()
    inbox = client.listen("owseg_msgs/msg/PrototypeSet", "/prototypes", LATCHED)
    assert eventually(lambda: inbox)
    sent, send = [], server._publisher.publish

    def publish(message):
        sent.append(message.version)
        return send(message) if len(sent) > 2 else False

    monkeypatch.setattr(server._publisher, "publish", publish)
    assert ask("AddClass", "add_class", name="v", **VECTOR).success
    assert eventually(lambda: inbox[-1].version == 1)
    assert sent == [1, 1, 1]


def test_a_store_that_is_gone_is_told_and_survived(server, engine, ask, quick, client, eventually):
    engine.may_run.set()
    inbox = client.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    (quick / "classes").unlink()
    response = ask("AddClass", "add_class", name="v", **VECTOR)
    assert (response.success, response.class_id, response.version) == (False, 255, 0)
    assert "removed or replaced" in response.message

    def levels():
        found = [status.level for message in inbox for status in message.status]
        return {level[0] if isinstance(level, bytes) else level for level in found}

    assert eventually(lambda: 2 in levels())
    PrototypeStore(quick / "classes", create=True).close()
    assert eventually(lambda: ask("AddClass", "add_class", name="v", **VECTOR).success)


# The keeper ------------------------------------------------------------------------------------


def test_the_store_lies_in_the_data_folder_of_the_user(monkeypatch, tmp_path):
    assert default_store({"XDG_DATA_HOME": "/data"}).as_posix() == "/data/owseg/prototypes.owseg"
    monkeypatch.setenv("HOME", str(tmp_path))
    for environment in ({}, {"XDG_DATA_HOME": ""}, {"XDG_DATA_HOME": "relative"}):
        expected = tmp_path / ".local" / "share" / "owseg" / "prototypes.owseg"
        assert default_store(environment) == expected


def test_without_a_home_directory_the_node_says_where_to_put_the_store(
    kinds, ros_domain, homeless, capfd
):
    words = ["--host", kinds[0], "--ros-args", "-p", "engine:=fake"]
    assert start(["prototype_server", *words]) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.endswith(
        "there is no home directory to take .local/share of; set XDG_DATA_HOME or HOME to a "
        "folder of yours, or choose a place with --store or the parameter 'store'"
    )


@pytest.mark.parametrize("name", ["store", "model"])
def test_without_a_home_directory_a_tilde_is_named(kinds, ros_domain, homeless, capfd, name):
    words = ["--host", kinds[0], "--ros-args", "-p", "engine:=fake", "-p", f"{name}:=~/x"]
    assert start(["prototype_server", *words]) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert "'~/x' begins with ~, and there is no such home directory" in line


def test_news_are_told_until_they_were_heard(quick):
    keeper = StoreKeeper(quick / "a" / "b" / "classes", "ab" * 32)
    assert keeper.news().version == 0
    assert keeper.news().space == keeper.read().space == "ab" * 32
    assert keeper.news().version == 0
    keeper.told(0)
    assert keeper.news() is None
    add = {"space": "ab" * 32, "known": (), "slots": 4}
    with PrototypeStore(quick / "a" / "b" / "classes") as other:
        other.add("x", np.ones((1, 2)), 1.0, **add)
    assert [item.name for item in keeper.news().classes] == ["x"]
    keeper.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(module.StoreError, match=r"cannot make the folder .*/file"):
        StoreKeeper(tmp_path / "file" / "classes", "")
