"""The life of a prototype server: how it starts, what it survives, how it ends."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from owseg.cli.main import main
from owseg.engines import FakeEngine
from owseg.engines.fake import FAKE_SPACE
from owseg.prototypes import PrototypeStore
from owseg_ros.hosts.qos import LATCHED

PROTOTYPE_SET = "owseg_msgs/msg/PrototypeSet"
SIZE = 10


def start_server(owseg, kind, store, *arguments, env=None):
    server = owseg(
        "node",
        "prototype_server",
        *("--host", kind, "--store", store, "--ros-args", "-p", "engine:=fake"),
        *("-p", "poll_period:=0.02", *arguments),
        env=env,
    )
    server.says("are kept in")
    return server


def test_classes_survive_a_killed_server_and_late_joiners_get_them(
    owseg, kinds, quick, open_client, eventually
):
    store = quick / "classes.owseg"
    namespace = ("-r", "__ns:=/robot")
    server = start_server(owseg, kinds[1], store, *namespace)
    fields = {"vectors": np.ones(SIZE, np.float32), "size": SIZE, "radius": 1.0}
    with open_client() as client:
        added = client.call("AddClass", "/robot/prototype_server/add_class", name="sofa", **fields)
        assert added.success, added.message
    server.process.kill()
    assert server.wait() == -signal.SIGKILL
    start_server(owseg, kinds[1], store, *namespace)
    with open_client() as late:
        inbox = late.listen(PROTOTYPE_SET, "/robot/prototypes", LATCHED)
        assert eventually(lambda: inbox)
    assert (inbox[0].version, [item.name for item in inbox[0].classes]) == (1, ["sofa"])


def test_it_ends_kindly_and_leaves_one_whole_file(owseg, kinds, quick, client):
    store = quick / "classes.owseg"
    server = start_server(owseg, kinds[1], store, "-r", "__ns:=/kind")
    answer = client.call("ListClasses", "/kind/prototype_server/list_classes")
    assert (answer.success, len(answer.classes), answer.space) == (True, 0, FAKE_SPACE)
    assert server.end(signal.SIGINT) == 0
    assert [path.name for path in quick.iterdir()] == ["classes.owseg"]
    assert "Traceback" not in server.output


def test_a_store_that_is_replaced_is_opened_again(owseg, kinds, quick, client, eventually):
    manifest, old, new = FakeEngine().manifest, quick / "old", quick / "new"
    for path, name in ((old, "before"), (new, "after")):
        with PrototypeStore(path, create=True) as store:
            store.add(
                name,
                np.ones((1, SIZE), np.float32),
                0.5,
                space=FAKE_SPACE,
                known=manifest.classes,
                slots=manifest.slots,
            )
    server = start_server(owseg, kinds[1], old, "-r", "__ns:=/swap")
    inbox = client.listen(PROTOTYPE_SET, "/swap/prototypes", LATCHED)
    assert eventually(lambda: inbox)
    os.replace(new, old)
    assert eventually(lambda: len(inbox) > 1)
    assert [[item.name for item in message.classes] for message in inbox] == [["before"], ["after"]]
    server.says("was replaced; it is open again")


def other_network(path):
    with PrototypeStore(path, create=True) as store:
        store.add("x", np.ones((1, 3), np.float32), 0.5, space="cd" * 32, known=(), slots=4)
    return path


FAKE = ("--ros-args", "-p", "engine:=fake")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (lambda path: ["--store", path, *FAKE], "is a folder"),
        (lambda path: ["--store", other_network(path / "x"), *FAKE], "belongs to model cdcd"),
        (lambda path: ["--model", path / "no.onnx"], "no.onnx"),
        (lambda path: [*FAKE, "-p", "device:=gpu"], "'device' must be auto"),
        (lambda path: [*FAKE, "-p", "poll_period:=0.0"], "'poll_period' must be in"),
        (lambda path: ["--nonsense", *FAKE], "--nonsense"),
        (lambda path: [*FAKE, "--", "stray"], "stray"),
    ],
)
def test_what_it_cannot_start_with_is_said_in_one_line(
    kinds, quick, options, reason, capfd, monkeypatch, ros_domain
):
    monkeypatch.setenv("XDG_DATA_HOME", str(quick / "data"))
    words = ["node", "prototype_server", "--host", kinds[0], *map(str, options(quick))]
    assert main(words) == 2
    err = capfd.readouterr().err
    (line,) = [line for line in err.splitlines() if line.startswith("owseg: ")]
    assert reason in line
    assert "Traceback" not in err


def test_a_misspelt_parameter_is_named(owseg, kinds, quick):
    server = start_server(owseg, kinds[1], quick / "s", "-p", "modle:=x")
    server.says("there is no parameter 'modle'")


def test_the_store_of_the_user_is_used_unless_another_is_named(owseg, kinds, quick):
    server = owseg(
        *("node", "prototype_server", "--host", kinds[1], "--ros-args", "-p", "engine:=fake"),
        env={"XDG_DATA_HOME": str(quick)},
    )
    server.says("are kept in")
    assert (quick / "owseg" / "prototypes.owseg").is_file()
