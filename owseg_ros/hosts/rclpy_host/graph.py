"""Who is on the network, as rclpy tells."""

from __future__ import annotations

from typing import Any

from owseg_ros.hosts.base import Endpoint
from owseg_ros.hosts.names import join
from owseg_ros.hosts.rclpy_host.policies import from_ros

_UNKNOWN = ("_NODE_NAME_UNKNOWN_", "_NODE_NAMESPACE_UNKNOWN_")


class RosGraph:
    """What a node knows of others; see `base.Graph`.

    Args:
        node: of rclpy.
    """

    def __init__(self, node: Any) -> None:
        self._node = node

    def publishers(self, topic: str) -> list[Endpoint]:
        """Return all publishers of a topic."""
        return [_endpoint(topic, info) for info in self._node.get_publishers_info_by_topic(topic)]

    def subscriptions(self, topic: str) -> list[Endpoint]:
        """Return all subscriptions to a topic."""
        found = self._node.get_subscriptions_info_by_topic(topic)
        return [_endpoint(topic, info) for info in found]

    def topics(self) -> dict[str, tuple[str, ...]]:
        """Return the types of each topic."""
        return {
            name: tuple(sorted(types))
            for name, types in sorted(self._node.get_topic_names_and_types())
        }

    def nodes(self) -> list[str]:
        """Return the full names of all nodes, sorted."""
        found = self._node.get_node_names_and_namespaces()
        return sorted(join(namespace, name) for name, namespace in found)


def _endpoint(topic: str, info: Any) -> Endpoint:
    unknown = info.node_name in _UNKNOWN
    node = "" if unknown else join(info.node_namespace, info.node_name)
    return Endpoint(node, topic, info.topic_type, from_ros(info.qos_profile))
