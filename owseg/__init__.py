"""owseg: open-world semantic segmentation for robots, without torch and without ROS."""

__version__ = "0.1.0"
