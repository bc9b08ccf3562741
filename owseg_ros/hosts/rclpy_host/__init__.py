"""A node on a sourced ROS 2. `ros` alone imports rclpy.

An executor of rclpy runs in the background and only takes what arrives; handlers run in
the same groups as on the standalone host: the latest message wins, a handler may call a
service and wait, and a slow frame does not hold up parameters.
"""
