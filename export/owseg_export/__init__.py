"""From torch to a self-describing ONNX bundle (needs torch and onnx)."""
