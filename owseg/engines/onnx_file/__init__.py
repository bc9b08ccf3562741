"""ONNX files without the package onnx, which the vehicle does not have.

protobuf.py   messages and their fields
model.py      nodes, opset and files with weights of a model
cut.py        a model with fewer outputs, and without what they do not need
"""
