"""The fake of cuda-python, as its modules are called since 12.8."""
