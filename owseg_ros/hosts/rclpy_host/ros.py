"""The one place that imports rclpy."""

from __future__ import annotations

from owseg.errors import MissingDependencyError

try:
    import rclpy
    from rcl_interfaces.msg import (
        FloatingPointRange,
        IntegerRange,
        ParameterDescriptor,
        SetParametersResult,
    )
    from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
    from rclpy.clock import Clock, ClockType
    from rclpy.context import Context
    from rclpy.exceptions import (
        InvalidHandle,
        InvalidParameterTypeException,
        InvalidParameterValueException,
        NameValidationException,
        ParameterNotDeclaredException,
        ParameterUninitializedException,
    )
    from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
    from rclpy.lifecycle import LifecycleNodeMixin, TransitionCallbackReturn
    from rclpy.node import Node
    from rclpy.parameter import Parameter
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
    from rclpy.signals import SignalHandlerOptions

    try:
        from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
    except ImportError:  # Humble
        from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError as err:
    raise MissingDependencyError(
        f"the rclpy host needs a sourced ROS 2 ({err}); run: source /opt/ros/jazzy/setup.bash, "
        "or use --host standalone"
    ) from err

__all__ = [
    "Clock",
    "ClockType",
    "Context",
    "DurabilityPolicy",
    "ExternalShutdownException",
    "FloatingPointRange",
    "HistoryPolicy",
    "IntegerRange",
    "InvalidHandle",
    "InvalidParameterTypeException",
    "InvalidParameterValueException",
    "LifecycleNodeMixin",
    "MultiThreadedExecutor",
    "MutuallyExclusiveCallbackGroup",
    "NameValidationException",
    "Node",
    "Parameter",
    "ParameterDescriptor",
    "ParameterNotDeclaredException",
    "ParameterUninitializedException",
    "PublisherEventCallbacks",
    "QoSProfile",
    "ReentrantCallbackGroup",
    "ReliabilityPolicy",
    "SetParametersResult",
    "SignalHandlerOptions",
    "SubscriptionEventCallbacks",
    "TransitionCallbackReturn",
    "rclpy",
]
