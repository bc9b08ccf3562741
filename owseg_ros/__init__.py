"""ROS 2 nodes of the perception system, and the hosts that they run on."""
