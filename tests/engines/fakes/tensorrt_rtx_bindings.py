"""Hides the real module of this name: the fake one has the shorter."""

raise ModuleNotFoundError("No module named 'tensorrt_rtx_bindings'", name="tensorrt_rtx_bindings")
