"""A ROS 2 node without ROS 2: Cyclone DDS for the wire, rosbags for the messages.

Speaks what `rmw_cyclonedds_cpp` speaks: topics, services, parameters, lifecycle, /rosout,
/clock and the graph. `cyclone` alone imports cyclonedds.
"""
