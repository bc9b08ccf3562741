"""The commands `owseg node` and `owseg up`, and the programs that `ros2 run` starts."""
