"""The prototype server as a node: requests to the store, the store to everybody."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sized
from typing import Any, NamedTuple

import numpy as np

from owseg.bundle import shipped_model
from owseg.engines import ENGINES, open_engine
from owseg.engines.onnxruntime import DEVICES
from owseg.errors import OwsegError, StoreError
from owseg.places import expanded
from owseg.prototypes import PrototypeSet, Shot
from owseg.prototypes.checks import check_free_name, clean_name
from owseg.prototypes.learn import embed, learn_class
from owseg.types import UNKNOWN_ID, FloatArray
from owseg_ros.diagnostics import Diagnostics, Level, Status
from owseg_ros.hosts import Host
from owseg_ros.hosts.base import Message
from owseg_ros.hosts.parameters import ParameterSpec
from owseg_ros.hosts.qos import LATCHED
from owseg_ros.hosts.unused import warn_of_unused
from owseg_ros.prototype_server import requests
from owseg_ros.prototype_server.keeper import StoreKeeper, default_store
from owseg_ros.prototype_server.messages import PROTOTYPE_SET, class_message, set_message

NAME = "prototype_server"
TOPIC = "prototypes"

ADD = "owseg_msgs/srv/AddClass"
LIST = "owseg_msgs/srv/ListClasses"
RENAME = "owseg_msgs/srv/RenameClass"
REMOVE = "owseg_msgs/srv/RemoveClass"
UNDO = "owseg_msgs/srv/Undo"

PARAMETERS = (
    ParameterSpec(
        name="model",
        default="",
        description="model bundle that classes are learnt with; empty = the one shipped",
        read_only=True,
    ),
    ParameterSpec(
        name="engine",
        default="onnxruntime",
        choices=tuple(ENGINES),
        description="runtime of the model",
        read_only=True,
    ),
    ParameterSpec(
        name="device",
        default="auto",
        choices=DEVICES,
        description="where the model runs; auto = a GPU if usable",
        read_only=True,
    ),
    ParameterSpec(
        name="store",
        default="",
        description="file of the classes, made if missing; empty = in the user's data folder",
        read_only=True,
    ),
    ParameterSpec(
        name="poll_period",
        default=0.25,
        minimum=0.01,
        maximum=60.0,
        description="seconds between two looks for changes that another process made",
        read_only=True,
    ),
)

_REPORT_S = 1.0
_REPEAT_S = 30.0

Fields = dict[str, Any]


class _Draft(NamedTuple):
    """What goes into the store, and what to say of it."""

    vectors: FloatArray
    radius: float
    shots: tuple[Shot, ...]
    warnings: tuple[str, ...]
    origin: str


class PrototypeServer:
    """Learns, lists, renames and removes classes; publishes the whole set after each change.

    Learning runs in a group of its own, so that the other services stay quick beside it.

    Args:
        host: of the node.

    Raises:
        OwsegError: a parameter, the model or the store cannot be used.
    """

    exit_code = 0

    def __init__(self, host: Host) -> None:
        self.host = host
        values: dict[str, Any] = {spec.name: host.parameters.declare(spec) for spec in PARAMETERS}
        self._publisher = host.publisher(PROTOTYPE_SET, TOPIC, LATCHED)
        model = expanded(values["model"]) if values["model"] else shipped_model()
        self._engine = open_engine(model, values["engine"], values["device"])
        path = expanded(values["store"]) if values["store"] else default_store()
        self._keeper = StoreKeeper(path, self._engine.space)
        self._telling = threading.Lock()
        self._tell()
        self._offer()
        watching = host.group("watch")
        self._diagnostics = Diagnostics(host)
        self._timers = (
            host.timer(values["poll_period"], self._watch, group=watching, steady=True),
            host.timer(_REPORT_S, self._report, group=watching, steady=True),
        )
        host.log.info(
            f"classes of model '{self._engine.manifest.name}' are kept in {path}, "
            f"version {self._keeper.store.version}"
        )

    def _offer(self) -> None:
        learning = self.host.group("learning")
        learning.post(self._warm_up)
        self._service(ADD, "~/add_class", self._add, learning)
        self._service(RENAME, "~/rename_class", self._rename)
        self._service(REMOVE, "~/remove_class", self._remove)
        self._service(UNDO, "~/undo", self._undo)
        self.host.service(LIST, "~/list_classes", self._list)

    def _warm_up(self) -> None:
        m = self._engine.manifest
        embed(self._engine, np.zeros((m.height, m.width, 3), np.uint8))

    # Services ----------------------------------------------------------------------------------

    def _service(
        self, kind: str, name: str, work: Callable[[Message], Fields], group: Any = None
    ) -> None:
        """Offer a service that changes the store."""

        def handle(request: Message) -> Message:
            fields = self._outcome(name, work, request)
            return self.host.messages.response(kind, version=self._version(), **fields)

        self.host.service(kind, name, handle, group=group)

    def _outcome(self, name: str, work: Callable[[Message], Fields], request: Message) -> Fields:
        """Do what is asked; what goes wrong is an answer, too."""
        try:
            fields = work(request)
        except OwsegError as error:
            reason = " ".join(str(error).split())
        except Exception as error:
            self.host.log.error(f"{name} failed: {traceback.format_exc().rstrip()}")
            reason = f"internal error, see the log of the server: {error!r}"
        else:
            self.host.log.info(fields["message"])
            self._tell_if_possible()
            return {"success": True, **fields}
        self.host.log.warning(f"{name.removeprefix('~/')} refused: {reason}")
        return {"success": False, "message": reason, "class_id": UNKNOWN_ID}

    def _version(self) -> int:
        try:
            return self._keeper.store.version
        except StoreError:
            return 0

    def _add(self, request: Message) -> Fields:
        manifest, store = self._engine.manifest, self._keeper.store
        name, color = clean_name(request.name), requests.color_of(request)
        present = store.read()
        check_free_name(name, present.classes, manifest.class_names)
        what = self._what(request, present)
        added = store.add(
            name,
            what.vectors,
            what.radius,
            what.shots,
            color=color,
            space=self._engine.space,
            known=manifest.classes,
            slots=manifest.slots,
        )
        text = f"added class '{added.name}' (id {added.id}) from {what.origin}"
        return {"message": "; warning: ".join((text, *what.warnings)), "class_id": added.id}

    def _what(self, request: Message, present: PrototypeSet) -> _Draft:
        if requests.gives_vectors(request):
            vectors = requests.vectors_of(request, self._engine)
            return _Draft(vectors, float(request.radius), (), (), _count(vectors, "vector"))
        examples, options = requests.examples_of(request), requests.options_of(request)
        found = learn_class(self._engine, examples, options, present)
        origin = _count(examples, "image")
        return _Draft(found.vectors, found.radius, found.shots, found.warnings, origin)

    def _rename(self, request: Message) -> Fields:
        change = self._keeper.store.rename(request.name, request.new_name)
        return {"message": change.text, "class_id": change.id}

    def _remove(self, request: Message) -> Fields:
        change = self._keeper.store.remove(request.name)
        return {"message": change.text, "class_id": change.id}

    def _undo(self, request: Message) -> Fields:
        change = self._keeper.store.undo()
        return {"message": change.text, "class_id": change.id}

    def _list(self, request: Message) -> Message:
        messages, found = self.host.messages, self._keeper.read()
        return messages.response(
            LIST,
            success=True,
            message=f"{len(found.classes)} classes",
            space=found.space,
            version=found.version,
            classes=[
                class_message(messages, item, with_vectors=request.with_vectors)
                for item in found.classes
            ],
        )

    # Telling -----------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Publish the set if it has changed since it was published."""
        with self._telling:
            found = self._keeper.news()
            if found is None:
                return
            message = set_message(self.host.messages, found, self.host.clock.now_ns())
            if self._publisher.publish(message):
                self._keeper.told(found.version)

    def _tell_if_possible(self) -> bool:
        try:
            self._tell()
        except StoreError as error:
            self.host.log.error(str(error), every_s=_REPEAT_S)
            return False
        return True

    def _watch(self) -> None:
        """Look for the changes of others."""
        if not self._tell_if_possible():
            self._open_again()

    def _open_again(self) -> None:
        try:
            with self._telling:
                self._keeper.reopen()
        except StoreError as error:
            self.host.log.error(str(error), every_s=_REPEAT_S)
        else:
            self.host.log.warning(f"{self._keeper.path} was replaced; it is open again")

    def _report(self) -> None:
        """Say on /diagnostics how the store is."""
        try:
            found = self._keeper.store.read()
        except StoreError as error:
            status = Status(name="store", level=Level.ERROR, message=str(error))
        else:
            values = {
                "file": self._keeper.path,
                "prototype version": found.version,
                "classes": len(found.classes),
                "slots in use": f"{found.num_vectors} of {self._engine.manifest.slots}",
            }
            status = Status(name="store", values=values)
        self._diagnostics.publish([status])

    def start(self) -> bool:
        """Name the parameters that nothing has; the services are offered already."""
        warn_of_unused(self.host)
        return True

    def stop(self) -> None:
        """End the watch."""
        for timer in self._timers:
            timer.cancel()

    def close(self) -> None:
        """Let go of the store and the model."""
        self._keeper.close()
        self._engine.close()


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"
