"""Which heads the ONNX Runtime engine uses, and how its sessions are opened."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from owseg.bundle import OUTPUTS, load_bundle
from owseg.engines import OnnxRuntimeEngine, PrototypeSlots, open_engine
from owseg.engines.compact import add_compact
from owseg.engines.heads import fused
from owseg.engines.onnx_file.cut import cut
from owseg.engines.onnxruntime import HEADS
from owseg.engines.ort_sessions import Sessions
from owseg.errors import EngineError, MissingDependencyError, UsageError

EDS = {"method": "eds", "form": "constant", "constants": {"eds": {"low": -60.0, "high": -18.0}}}


@pytest.fixture
def eds_bundle(tmp_path, write_bundle, edit_manifest):
    """Write a bundle that says its score is EDS, though its graph computes something else."""
    return load_bundle(write_bundle(tmp_path / "eds.onnx", edit_manifest(score=EDS)))


def request(manifest, batch=1):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, manifest.height, manifest.width, 3), dtype=np.uint8)
    return images, PrototypeSlots.empty(manifest), 0.5


def test_a_score_that_only_the_graph_knows_stays_there(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    with OnnxRuntimeEngine(bundle, "cpu") as engine:
        assert engine.heads == "graph"
        assert "do not know its score 'blue'" in engine.note
    with OnnxRuntimeEngine(bundle, "cpu", heads="graph") as engine:
        assert (engine.heads, engine.note) == ("graph", "")
    with pytest.raises(EngineError, match=r"cannot use the fused heads: .*use the heads graph"):
        OnnxRuntimeEngine(bundle, "cpu", heads="fused")


def test_unknown_heads(tiny_bundle):
    with pytest.raises(UsageError, match=f"no heads 'x'; there are {', '.join(HEADS)}"):
        OnnxRuntimeEngine(load_bundle(tiny_bundle), "cpu", heads="x")
    with pytest.raises(UsageError, match="no heads 'x'"):
        open_engine(tiny_bundle, heads="x")


def test_heads_are_chosen_by_name(tiny_bundle):
    with open_engine(tiny_bundle, device="cpu", heads="graph") as engine:
        assert engine.heads == "graph"
    with pytest.raises(EngineError, match="cannot use the fused heads"):
        open_engine(tiny_bundle, device="cpu", heads="fused")
    with pytest.raises(UsageError, match="'fake' has no choice of heads"):
        open_engine(tiny_bundle, "fake", heads="fused")
    assert open_engine(tiny_bundle, "fake", heads="auto").name == "fake"


def test_heads_that_differ_from_the_graph_are_not_used(eds_bundle):
    with OnnxRuntimeEngine(eds_bundle, "cpu", heads="graph") as plain:
        want = plain.infer(*request(eds_bundle.manifest), OUTPUTS)
    with OnnxRuntimeEngine(eds_bundle, "cpu") as engine:
        assert (engine.heads, engine.note) == ("fused", "")
        found = engine.infer(*request(eds_bundle.manifest), OUTPUTS)
        assert engine.heads == "graph"
        assert "differ from the graph of 'tiny'" in engine.note
    for name in OUTPUTS:
        np.testing.assert_array_equal(found[name], want[name])
    with OnnxRuntimeEngine(eds_bundle, "cpu", heads="fused") as strict:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"differ from the graph.*export the model again"):
                strict.infer(*request(eds_bundle.manifest))


def test_outputs_of_the_network_need_no_heads(eds_bundle):
    with OnnxRuntimeEngine(eds_bundle, "cpu") as engine:
        found = engine.infer(*request(eds_bundle.manifest, 2), ("direction", "embedding"))
        assert engine.heads == "fused"  # nothing had to be compared
    assert {name: a.shape for name, a in found.items()} == {
        "direction": (2, 2, 6, 8),
        "embedding": (2, 3, 6, 8),
    }


def test_fused_heads_that_are_closed_say_so(eds_bundle):
    engine = OnnxRuntimeEngine(eds_bundle, "cpu", threads=2)
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.infer(*request(eds_bundle.manifest))
    engine.close()


def test_without_numba_the_graph_computes_its_heads(monkeypatch, eds_bundle):
    def missing():
        raise MissingDependencyError("the fused heads need numba")

    monkeypatch.setattr(fused, "_compiled", missing)
    with OnnxRuntimeEngine(eds_bundle, "cpu") as engine:
        assert engine.heads == "graph"
        assert "need numba" in engine.note
        assert set(engine.infer(*request(eds_bundle.manifest))) == set(OUTPUTS[:3])
    with pytest.raises(MissingDependencyError, match="need numba"):
        OnnxRuntimeEngine(eds_bundle, "cpu", heads="fused")


def test_stages_are_timed(tiny_bundle, eds_bundle):
    bundle = load_bundle(tiny_bundle)
    with OnnxRuntimeEngine(bundle, "cpu") as engine:
        assert engine.timings_ms == {}
        engine.infer(*request(bundle.manifest))
        assert list(engine.timings_ms) == ["graph"]
        assert engine.timings_ms["graph"] > 0


# Sessions -----------------------------------------------------------------------------------------

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class FakeOptions(SimpleNamespace):
    def __init__(self):
        super().__init__(entries={})

    def add_session_config_entry(self, key, value):
        self.entries[key] = value


@pytest.fixture
def opened(monkeypatch):
    """Replace onnxruntime by one with CUDA that notes (graph, options, providers)."""
    found = []

    def session(graph, options, providers):
        found.append((graph, options, providers))
        names = [name if isinstance(name, str) else name[0] for name in providers]
        return SimpleNamespace(get_providers=lambda: names)

    module = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        SessionOptions=FakeOptions,
        InferenceSession=session,
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return found


@pytest.fixture
def bundle(tiny_bundle):
    return load_bundle(tiny_bundle)


def test_a_cpu_session_is_cut_to_what_is_fetched_and_kept(bundle, opened):
    sessions = Sessions(bundle, "cpu", 3)
    first = sessions.get(("embedding",))
    assert sessions.get(["embedding"]) is first
    assert sessions.get(("direction", "embedding")) is not first
    whole = sessions.get(OUTPUTS)
    assert sessions.get(("known",)) is whole
    graphs = [graph for graph, _, _ in opened]
    assert [type(graph) for graph in graphs] == [bytes, bytes, str]
    assert len(graphs[0]) < len(graphs[1]) < bundle.path.stat().st_size
    assert {providers[0] for _, _, providers in opened} == {CPU}
    assert {options.intra_op_num_threads for _, options, _ in opened} == {3}
    assert sessions.heads() is not sessions.heads()
    graph, _, _ = opened[-1]
    assert graph == cut(bundle.path.read_bytes(), OUTPUTS[:3], ("embedding",))


def test_threads_do_not_wait_busily_between_two_runs(bundle, opened):
    Sessions(bundle, "cpu", 1).get(OUTPUTS)
    assert opened[0][1].entries == {"session.force_spinning_stop": "1"}


def test_a_session_that_is_not_cut_serves_everything(bundle, opened):
    sessions = Sessions(bundle, "cuda", 1, cut=False)
    assert sessions.get(("embedding",)) is sessions.get(OUTPUTS)
    assert [graph for graph, _, _ in opened] == [add_compact(bundle.path.read_bytes())]


@pytest.mark.parametrize(
    ("graph", "provider"), [(False, CUDA), (True, (CUDA, {"enable_cuda_graph": "1"}))]
)
def test_a_gpu_with_or_without_a_captured_graph(bundle, opened, graph, provider):
    with OnnxRuntimeEngine(bundle, "cuda", cuda_graph=graph) as engine:
        engine._sessions.get(("embedding",))
    assert [providers for _, _, providers in opened] == [[provider, CPU]]


def test_on_a_cpu_there_is_no_graph_to_capture(bundle, opened):
    OnnxRuntimeEngine(bundle, "cpu", cuda_graph=True)
    assert opened[-1][2] == [CPU]


def test_on_a_gpu_the_graph_computes_its_heads(eds_bundle, opened):
    assert OnnxRuntimeEngine(eds_bundle, "auto").heads == "graph"
    assert OnnxRuntimeEngine(eds_bundle, "cpu").heads == "fused"
    with pytest.raises(UsageError, match="fused heads run on a CPU"):
        OnnxRuntimeEngine(eds_bundle, "cuda", heads="fused")
