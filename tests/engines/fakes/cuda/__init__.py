"""The fake of cuda-python."""
