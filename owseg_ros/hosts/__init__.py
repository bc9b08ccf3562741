"""Hosts: the same node code on rclpy, or on a machine without ROS 2."""

from owseg_ros.hosts.base import Host, Runtime
from owseg_ros.hosts.choice import KINDS, open_runtime

__all__ = ["KINDS", "Host", "Runtime", "open_runtime"]
