"""A stand-in for the parts of rclpy that the rclpy host uses, within one process.

Signatures and checks are those of rclpy in ROS 2 Jazzy, so that a call that the real one
would refuse is refused here too. Nothing leaves the process.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, IntEnum
from functools import partial
from types import ModuleType, SimpleNamespace

# ruff: noqa: N818, D106

# Messages ----------------------------------------------------------------------------------------


def message(**types):
    """Make a message class as rosidl does: fields with their types, strict setters."""
    zero = {"string": "", "uint32": 0, "boolean": False}

    class Message:
        def __init__(self, **fields):
            for name, kind in types.items():
                setattr(self, name, fields.get(name, zero.get(kind)))

        @classmethod
        def get_fields_and_field_types(cls):
            return types

    return Message


Text = message(text="string", number="uint32")
Other = message(text="string")
Trigger = SimpleNamespace(Request=message(), Response=message(success="boolean", message="string"))


class Ranges(SimpleNamespace):
    """A message whose fields are all given."""


def descriptor(**fields):
    return Ranges(**{"floating_point_range": [], "integer_range": [], **fields})


# The network -------------------------------------------------------------------------------------


class World:
    """All nodes of the process."""

    def __init__(self):
        self.nodes, self.publishers, self.subscriptions = [], [], []
        self.services = {}


world = World()


class ReliabilityPolicy(IntEnum):
    RELIABLE = 1
    BEST_EFFORT = 2


class DurabilityPolicy(IntEnum):
    TRANSIENT_LOCAL = 1
    VOLATILE = 2


class HistoryPolicy(IntEnum):
    KEEP_LAST = 1
    KEEP_ALL = 2


class QoSProfile:
    def __init__(self, *, reliability, durability, history, depth):
        assert isinstance(reliability, ReliabilityPolicy)
        assert isinstance(durability, DurabilityPolicy)
        assert isinstance(history, HistoryPolicy)
        self.reliability, self.durability = reliability, durability
        self.history, self.depth = history, depth


def misfit(offered, requested):
    """Return the bit of the policy that keeps two profiles apart, 0 = none."""
    if offered.reliability > requested.reliability:
        return 16
    return 2 if offered.durability > requested.durability else 0


class Callbacks:
    def __init__(self, *, incompatible_qos=None, use_default_callbacks=True):
        self.incompatible_qos = incompatible_qos


class Publisher:
    def __init__(self, node, kind, topic, qos, events):
        self.node, self.kind, self.topic, self.qos, self.events = node, kind, topic, qos, events

    def publish(self, sent):
        assert isinstance(sent, self.kind)
        for subscription in self.matches():
            subscription.node.post(subscription.group, lambda s=subscription: s.callback(sent))

    def matches(self):
        return [s for s in world.subscriptions if fits(self, s)]

    def get_subscription_count(self):
        return len(self.matches())


def fits(publisher, subscription):
    same = (publisher.topic, publisher.kind) == (subscription.topic, subscription.kind)
    return same and not misfit(publisher.qos, subscription.qos)


class Subscription:
    def __init__(self, node, kind, topic, callback, qos, group, events):
        self.node, self.kind, self.topic, self.qos = node, kind, topic, qos
        self.callback, self.group, self.events = callback, group, events


class Future:
    def __init__(self):
        self._callbacks, self._result, self._exception = [], None, None

    def add_done_callback(self, callback):
        self._callbacks.append(callback)

    def set_result(self, result):
        self._result = result
        for callback in self._callbacks:
            callback(self)

    def result(self):
        return self._result

    def exception(self):
        return self._exception


class Client:
    def __init__(self, node, kind, name):
        self.node, self.kind, self.name = node, kind, name
        self.pending = []

    def remove_pending_request(self, future):
        self.pending.remove(future)

    def service_is_ready(self):
        return self.name in world.services

    def call_async(self, request):
        assert isinstance(request, self.kind.Request)
        future = Future()
        self.pending.append(future)
        future.add_done_callback(self.pending.remove)
        if self.name in world.services:
            node, kind, callback, group = world.services[self.name]
            assert kind is self.kind

            def run():
                response = callback(request, kind.Response())
                if future in self.pending:
                    future.set_result(response)

            node.post(group, run)
        return future


# Parameters --------------------------------------------------------------------------------------


class Parameter:
    class Type(Enum):
        NOT_SET = 0
        BOOL = 1
        INTEGER = 2
        DOUBLE = 3
        STRING = 4
        BYTE_ARRAY = 5
        BOOL_ARRAY = 6
        INTEGER_ARRAY = 7
        DOUBLE_ARRAY = 8
        STRING_ARRAY = 9

    def __init__(self, name, type_=None, value=None):
        kinds = {bool: 1, int: 2, float: 3, str: 4}
        arrays = {bytes: 5, bool: 6, int: 7, float: 8, str: 9}
        if isinstance(value, list):
            found = arrays[type(value[0])] if value else 5
        else:
            found = 0 if value is None else kinds[type(value)]
        if type_ is None:
            type_ = Parameter.Type(found)
        assert isinstance(type_, Parameter.Type)
        if type_.value != found and value != []:
            raise ValueError(f"Type '{type_}' and value '{value}' do not agree")
        self.name, self.type_, self.value = name, type_, value


class ParameterNotDeclaredException(Exception):
    pass


class ParameterUninitializedException(Exception):
    pass


class NameValidationException(Exception):
    pass


class InvalidParameterTypeException(Exception):
    pass


class InvalidParameterValueException(Exception):
    pass


class SetParametersResult:
    def __init__(self, *, successful=False, reason=""):
        assert isinstance(successful, bool)
        assert isinstance(reason, str)
        self.successful, self.reason = successful, reason


# Nodes -------------------------------------------------------------------------------------------


class Context:
    def __init__(self):
        self.up = False
        self.args = []

    def ok(self):
        return self.up


class Logger:
    def __init__(self, name):
        self.name = name
        self._levels = {}

    def _say(self, level, text):
        place = sys._getframe(2)
        key = (place.f_code.co_filename, place.f_lineno)
        if self._levels.setdefault(key, level) != level:
            raise ValueError("Logger severity cannot be changed between calls.")
        sys.stderr.write(f"[{level}] [{self.name}]: {text}\n")

    def debug(self, text):
        self._say("DEBUG", text)

    def info(self, text):
        self._say("INFO", text)

    def warning(self, text):
        self._say("WARN", text)

    def error(self, text):
        self._say("ERROR", text)

    def fatal(self, text):
        self._say("FATAL", text)


class ClockType(IntEnum):
    ROS_TIME = 1
    SYSTEM_TIME = 2
    STEADY_TIME = 3


class Clock:
    def __init__(self, *, clock_type=ClockType.SYSTEM_TIME):
        self.clock_type = clock_type


class Timer:
    def __init__(self, node, period, callback, group):
        self.stopped = threading.Event()

        def run():
            while not self.stopped.wait(period):
                node.post(group, callback)

        threading.Thread(target=run, daemon=True).start()

    def cancel(self):
        self.stopped.set()


class Node:
    def __init__(self, node_name, *, context=None, namespace=None):
        assert context.ok()
        if not node_name.isidentifier() or (namespace or "").endswith("/"):
            raise NameValidationException(
                f"Invalid name: it must not be so:\n  '{node_name}'\n   ^"
            )
        self._name, self._namespace = node_name, "/" + (namespace or "").strip("/")
        self._parameter_overrides = dict(context.args)
        self._parameters, self._descriptors = {}, {}
        self._on_set, self._post_set = [], []
        self._remaps = context.remaps
        self.clocks = []
        self.executor = None
        world.nodes.append(self)
        self.declare_parameter("use_sim_time", False, descriptor(read_only=False))

    def post(self, group, job):
        if self.executor is not None:
            self.executor.jobs.put((group, job))

    def get_name(self):
        return self._name

    def get_namespace(self):
        return self._namespace

    def get_logger(self):
        return Logger(self._name)

    def get_clock(self):
        now = SimpleNamespace(nanoseconds=time.time_ns())
        return SimpleNamespace(ros_time_is_active=False, now=lambda: now)

    def resolve_topic_name(self, topic, *, only_expand=False):
        base = self._namespace.rstrip("/")
        if topic.startswith("~"):
            full = f"{base}/{self._name}{topic[1:]}"
        else:
            full = topic if topic.startswith("/") else f"{base}/{topic}"
        return self._remaps.get(full, full)

    resolve_service_name = resolve_topic_name

    def create_publisher(
        self, msg_type, topic, qos_profile, *, callback_group=None, event_callbacks=None
    ):
        full = self.resolve_topic_name(topic)
        made = Publisher(self, msg_type, full, qos_profile, event_callbacks)
        world.publishers.append(made)
        self._report(made, None)
        return made

    def create_subscription(
        self,
        msg_type,
        topic,
        callback,
        qos_profile,
        *,
        callback_group=None,
        event_callbacks=None,
        raw=False,
    ):
        full = self.resolve_topic_name(topic)
        made = Subscription(
            self, msg_type, full, callback, qos_profile, callback_group, event_callbacks
        )
        world.subscriptions.append(made)
        self._report(None, made)
        return made

    def _report(self, publisher, subscription):
        for one in [publisher] if publisher else world.publishers:
            for other in [subscription] if subscription else world.subscriptions:
                if one.topic == other.topic and (bit := misfit(one.qos, other.qos)):
                    event = SimpleNamespace(last_policy_kind=bit, total_count=1)
                    for end in (one, other):
                        end.node.post(None, partial(end.events.incompatible_qos, event))

    def create_service(
        self, srv_type, srv_name, callback, *, qos_profile=None, callback_group=None
    ):
        full = self.resolve_service_name(srv_name)
        world.services[full] = (self, srv_type, callback, callback_group)
        return full

    def create_client(self, srv_type, srv_name, *, qos_profile=None, callback_group=None):
        return Client(self, srv_type, self.resolve_service_name(srv_name))

    def create_timer(self, timer_period_sec, callback, callback_group=None, clock=None):
        assert clock is None or clock.clock_type is ClockType.STEADY_TIME
        self.clocks.append(clock)
        return Timer(self, timer_period_sec, callback, callback_group)

    def destroy_publisher(self, publisher):
        world.publishers.remove(publisher)

    def destroy_subscription(self, subscription):
        world.subscriptions.remove(subscription)

    def destroy_service(self, service):
        del world.services[service]

    def destroy_client(self, client):
        pass

    def destroy_timer(self, timer):
        pass

    def destroy_node(self):
        world.nodes.remove(self)

    # Parameters of the node

    def add_on_set_parameters_callback(self, callback):
        self._on_set.insert(0, callback)

    def add_post_set_parameters_callback(self, callback):
        self._post_set.insert(0, callback)

    def has_parameter(self, name):
        return name in self._parameters

    def get_parameter(self, name):
        if name not in self._parameters:
            raise ParameterNotDeclaredException(name)
        if self._parameters[name].type_ is Parameter.Type.NOT_SET:
            raise ParameterUninitializedException(name)
        return self._parameters[name]

    def declare_parameter(self, name, value=None, descriptor=None, ignore_override=False):
        if isinstance(value, Parameter.Type):
            made = self._parameter_overrides.get(name, Parameter(name))
        else:
            made = self._parameter_overrides.get(name, Parameter(name, value=value))
            if made.type_ is not Parameter(name, value=value).type_:
                raise InvalidParameterTypeException(name)
        result = self._set([made], {name: descriptor})
        if not result.successful:
            raise InvalidParameterValueException(result.reason)
        return self._parameters[name]

    def set_parameters(self, parameters):
        return [self.set_parameters_atomically([each]) for each in parameters]

    def set_parameters_atomically(self, parameters):
        for each in parameters:
            if each.name not in self._parameters:
                raise ParameterNotDeclaredException(each.name)
        return self._set(parameters, {})

    def _set(self, parameters, descriptors):
        for each in parameters:
            known = descriptors.get(each.name) or self._descriptors[each.name]
            if each.name not in descriptors and known.read_only:
                return SetParametersResult(reason="Trying to set a read-only parameter")
            for bounds in (*known.floating_point_range, *known.integer_range):
                if not bounds.from_value <= each.value <= bounds.to_value:
                    return SetParametersResult(reason=f"Parameter {each.name} out of range")
        for callback in self._on_set:
            result = callback(parameters)
            assert isinstance(result, SetParametersResult)
            if not result.successful:
                return result
        for each in parameters:
            self._parameters[each.name] = each
            self._descriptors.setdefault(each.name, descriptors.get(each.name))
        for callback in self._post_set:
            callback(parameters)
        return SetParametersResult(successful=True)

    # The graph

    def _infos(self, ends, topic):
        return [
            SimpleNamespace(
                node_name=end.node.get_name(),
                node_namespace=end.node.get_namespace(),
                topic_type=f"fake_msgs/msg/{'Text' if end.kind is Text else 'Other'}",
                qos_profile=end.qos,
            )
            for end in ends
            if end.topic == topic
        ]

    def get_publishers_info_by_topic(self, topic_name, no_mangle=False):
        return self._infos(world.publishers, topic_name)

    def get_subscriptions_info_by_topic(self, topic_name, no_mangle=False):
        return self._infos(world.subscriptions, topic_name)

    def get_topic_names_and_types(self, no_demangle=False):
        names = {end.topic for end in (*world.publishers, *world.subscriptions)}
        return [(name, ["fake_msgs/msg/Text"]) for name in names]

    def get_node_names_and_namespaces(self):
        return [(node.get_name(), node.get_namespace()) for node in world.nodes]


# Lifecycle ---------------------------------------------------------------------------------------


class TransitionCallbackReturn(Enum):
    SUCCESS = 0
    FAILURE = 1
    ERROR = 2


_WAYS = {
    "configure": {1: 2},
    "cleanup": {2: 1},
    "activate": {2: 3},
    "deactivate": {3: 2},
    "shutdown": {1: 4, 2: 4, 3: 4},
}
_LABELS = {1: "unconfigured", 2: "inactive", 3: "active", 4: "finalized", 10: "configuring"}


class LifecycleNodeMixin:
    def __init__(self, *, enable_communication_interface=True, callback_group=None):
        assert isinstance(self, Node)
        self._state_machine = SimpleNamespace(current_state=(1, "unconfigured"))

    def _change(self, name):
        start = self._state_machine.current_state[0]
        goal = _WAYS[name].get(start)
        if goal is None:
            return TransitionCallbackReturn.ERROR
        self._state_machine.current_state = (10, "configuring")
        result = getattr(self, f"on_{name}")(start)
        assert isinstance(result, TransitionCallbackReturn)
        done = result is TransitionCallbackReturn.SUCCESS or name == "shutdown"
        number = goal if done else start
        self._state_machine.current_state = (number, _LABELS[number])
        return result

    def trigger_configure(self):
        return self._change("configure")

    def trigger_cleanup(self):
        return self._change("cleanup")

    def trigger_activate(self):
        return self._change("activate")

    def trigger_deactivate(self):
        return self._change("deactivate")

    def trigger_shutdown(self):
        return self._change("shutdown")


# Running -----------------------------------------------------------------------------------------


class ExternalShutdownException(Exception):
    pass


class InvalidHandle(RuntimeError):
    pass


class MultiThreadedExecutor:
    def __init__(self, num_threads=None, *, context=None):
        self.jobs = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(num_threads)
        self._locks = {}
        self._down = False

    def add_node(self, node):
        node.executor = self
        return True

    def remove_node(self, node):
        node.executor = None

    def wake(self):
        self.jobs.put((None, lambda: None))

    def spin_once(self, timeout_sec=None):
        try:
            group, job = self.jobs.get(timeout=timeout_sec)
        except queue.Empty:
            return
        lock = self._locks.setdefault(id(group), threading.Lock())
        self._pool.submit(self._run, lock, job)

    @staticmethod
    def _run(lock, job):
        with lock:
            job()

    def shutdown(self, timeout_sec=None):
        self._pool.shutdown()
        return True


def init(*, args=None, context=None, domain_id=None, signal_handler_options=None):
    if any(word.startswith("--bad") for word in args):
        raise RuntimeError("unknown ROS argument")
    pairs = [word.split(":=") for word in args if ":=" in word]
    context.args = {
        name: Parameter(name, value=float(value) if "." in value else int(value))
        for name, value in pairs
        if not name.startswith("/")
    }
    context.remaps = {name: value for name, value in pairs if name.startswith("/")}
    context.up = True


def shutdown(*, context=None, uninstall_handlers=None):
    context.up = False


def modules():
    """Return the modules of the stand-in by name."""
    here = dict(globals())

    def module(name, **content):
        made = ModuleType(name)
        made.__dict__.update(content)
        return name, made

    def part(name, *names):
        return module(name, **{key: here[key] for key in names})

    events = {"PublisherEventCallbacks": Callbacks, "SubscriptionEventCallbacks": Callbacks}
    groups = {"MutuallyExclusiveCallbackGroup": object, "ReentrantCallbackGroup": object}
    interfaces = {
        "FloatingPointRange": Ranges,
        "IntegerRange": Ranges,
        "ParameterDescriptor": descriptor,
        "SetParametersResult": SetParametersResult,
    }
    return dict(
        [
            part("rclpy", "init", "shutdown"),
            module("rcl_interfaces"),
            module("rcl_interfaces.msg", **interfaces),
            module("rclpy.callback_groups", **groups),
            part("rclpy.clock", "Clock", "ClockType"),
            part("rclpy.context", "Context"),
            part(
                "rclpy.exceptions",
                "InvalidHandle",
                "InvalidParameterTypeException",
                "InvalidParameterValueException",
                "NameValidationException",
                "ParameterNotDeclaredException",
                "ParameterUninitializedException",
            ),
            part("rclpy.executors", "ExternalShutdownException", "MultiThreadedExecutor"),
            part("rclpy.lifecycle", "LifecycleNodeMixin", "TransitionCallbackReturn"),
            part("rclpy.node", "Node"),
            part("rclpy.parameter", "Parameter"),
            part(
                "rclpy.qos", "DurabilityPolicy", "HistoryPolicy", "QoSProfile", "ReliabilityPolicy"
            ),
            module("rclpy.signals", SignalHandlerOptions=SimpleNamespace(NO=0)),
            module("rclpy.event_handler", **events),
            module("fake_msgs"),
            module("fake_msgs.msg", Text=Text, Other=Other),
            module("fake_msgs.srv", Trigger=Trigger),
        ]
    )
