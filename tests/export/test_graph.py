"""The decisions of the graph: Eq. 12 by hand and against a slow reference, threshold, outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from owseg_export.graph import GraphOutput, OpenWorldGraph
from owseg_training.models import NetworkOutput
from owseg_training.scorers import CalibratedScore, Calibration

UNKNOWN = 255
KNOWN = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
SLOTS = 4
SCORE = CalibratedScore("eds", "constant", {"eds": Calibration(low=-600.0, high=0.0)})


class ColourNetwork(nn.Module):
    """A network of stride 1 whose embedding is red and green, so that distances are exact."""

    stride, unknown = 1, False

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prototypes", KNOWN)

    def forward(self, image: torch.Tensor) -> NetworkOutput:
        colours = (image * 255).round()
        return NetworkOutput(colours[:, :2], colours[:, 1:] - 4)


GRAPH = OpenWorldGraph(ColourNetwork(), SCORE, metric=True)  # type: ignore[arg-type]


def run(
    image: np.ndarray,
    novel: list[tuple[float, float, float]] | None = None,
    threshold: float = 1.0,
    *,
    graph: OpenWorldGraph = GRAPH,
) -> GraphOutput:
    """Run the graph with novel prototypes (red, green, squared radius) in the first slots."""
    slots = np.zeros((SLOTS, 3), np.float32)
    slots[: len(novel or ())] = np.array(novel or np.zeros((0, 3)), np.float32)
    valid = np.arange(SLOTS) < len(novel or ())
    with torch.no_grad():
        output: GraphOutput = graph(
            torch.from_numpy(image),
            torch.from_numpy(slots[:, :2].copy()),
            torch.from_numpy(slots[:, 2].copy()),
            torch.from_numpy(valid.astype(np.float32)),
            torch.tensor([threshold]),
        )
    return output


def pixels(*colours: tuple[int, int]) -> np.ndarray:
    """(1, 1, W, 3) uint8 from red and green values."""
    return np.array([[[(*c, 0) for c in colours]]], np.uint8)


def known(*args: object, **options: object) -> list[int]:
    return run(*args, **options).known[0, 0].tolist()  # type: ignore[arg-type]


class DistantNetwork(ColourNetwork):
    """The same with prototypes whose squared distance is beyond that of an unused slot."""

    def __init__(self) -> None:
        super().__init__()
        self.prototypes = KNOWN + 1e6


@pytest.mark.parametrize("novel", [[], [(0.0, 0.0, 1.0)]])
def test_without_a_novel_prototype_in_reach_known_ones_may_be_as_far_as_they_like(novel) -> None:
    graph = OpenWorldGraph(DistantNetwork(), SCORE, metric=True)  # type: ignore[arg-type]
    assert set(known(pixels((50, 60), (255, 0)), novel, graph=graph)) <= {0, 1, 2}
    assert known(pixels((0, 0)), [(0.0, 0.0, 1.0)], graph=graph) == [3]


def test_nearest_known_prototype_without_novel_ones() -> None:
    assert known(pixels((1, 1), (7, 1), (2, 7))) == [0, 1, 2]


def test_radius_is_a_squared_distance_and_exclusive() -> None:
    image = pixels((24, 30), (25, 30), (26, 30))  # 4, 5 and 6 away from the novel prototype
    assert known(image, [(20, 30, 25.0)]) == [3, 2, 2]


def test_a_novel_prototype_must_be_nearer_than_every_known_one() -> None:
    wide = [(8, 8, 1000.0)]
    assert known(pixels((8, 7), (8, 3), (8, 4)), wide) == [3, 1, 1]  # a tie stays known


def test_the_nearest_of_two_novel_prototypes_claims_the_pixel() -> None:
    assert known(pixels((30, 30), (33, 30)), [(30, 30, 50.0), (34, 30, 50.0)]) == [3, 4]


def test_a_nearer_prototype_that_does_not_reach_does_not_keep_another_from_claiming() -> None:
    assert known(pixels((30, 30)), [(32, 30, 1.0), (34, 30, 50.0)]) == [4]


def test_a_prototype_in_the_middle_of_a_known_class_claims_nothing_beyond_it() -> None:
    assert known(pixels((30, 30)), [(60, 60, 1e6)]) == [1]


def test_slots_out_of_use_claim_nothing() -> None:
    image = pixels((0, 0), (20, 20))
    slots = torch.full((SLOTS, 2), 20.0), torch.full((SLOTS,), 1e6), torch.zeros(SLOTS)
    with torch.no_grad():
        output = GRAPH(torch.from_numpy(image), *slots, torch.tensor([1.0]))
    assert output.known[0, 0].tolist() == [0, 1]


def test_threshold_is_exclusive_and_claimed_pixels_are_not_unknown() -> None:
    image = pixels((8, 8), (40, 40), (9, 8))
    anomaly = run(image).anomaly[0, 0]
    at = float(anomaly[0])
    assert run(image, threshold=at).open_set[0, 0].tolist()[0] != UNKNOWN
    assert run(image, threshold=at - 1e-6).open_set[0, 0].tolist()[0] == UNKNOWN
    claimed = run(image, [(8, 8, 1.0)], threshold=0.0)
    assert claimed.open_set[0, 0].tolist()[0] == 3
    torch.testing.assert_close(claimed.anomaly, run(image).anomaly, rtol=0, atol=0)


def test_anomaly_is_the_calibrated_distance_sum() -> None:
    image = pixels((0, 0), (4, 4))
    sums = [0 + 64 + 64, 32 + 32 + 32]
    found = run(image).anomaly[0, 0].tolist()
    assert found == pytest.approx([1 - s / 600 for s in sums], rel=1e-6)


def test_contract_of_the_outputs() -> None:
    image = np.random.default_rng(0).integers(0, 20, (2, 3, 5, 3), dtype=np.uint8)
    output = run(image)
    assert [o.dtype for o in output] == [
        torch.uint8,
        torch.float32,
        torch.uint8,
        torch.float32,
        torch.float32,
    ]
    np.testing.assert_array_equal(output.embedding.numpy(), image[..., :2].transpose(0, 3, 1, 2))
    expected = image[..., 1:].transpose(0, 3, 1, 2).astype(np.float32) - 4
    np.testing.assert_array_equal(output.direction.numpy(), expected)


def reference(image: np.ndarray, novel: list[tuple[float, float, float]]) -> np.ndarray:
    """Eq. 12 pixel by pixel, in Python."""
    out = np.zeros(image.shape[:3], np.uint8)
    for b, y, x in np.ndindex(out.shape):
        f = image[b, y, x, :2].astype(np.float64)
        at_known = [float(((f - m.numpy()) ** 2).sum()) for m in KNOWN]
        at_novel = [float(((f - p[:2]) ** 2).sum()) for p in novel]
        out[b, y, x] = int(np.argmin(at_known))
        reaching = [k for k, p in enumerate(novel) if at_novel[k] < min(p[2], min(at_known))]
        if reaching:
            out[b, y, x] = 3 + min(reaching, key=lambda k: at_novel[k])
    return out


NOVEL = st.lists(
    st.tuples(st.integers(0, 24), st.integers(0, 24), st.integers(0, 300)), max_size=SLOTS
)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), NOVEL)
def test_claims_equal_the_slow_reference(seed: int, novel: list[tuple[int, int, int]]) -> None:
    image = np.random.default_rng(seed).integers(0, 24, (2, 4, 4, 3), dtype=np.uint8)
    exact = [(float(r), float(g), float(q)) for r, g, q in novel]
    np.testing.assert_array_equal(run(image, exact).known.numpy(), reference(image, exact))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), NOVEL, st.floats(0, 1, width=32))
def test_outside_the_pixels_that_it_claims_one_more_prototype_changes_no_bit(
    seed: int, novel: list[tuple[int, int, int]], threshold: float
) -> None:
    image = np.random.default_rng(seed).integers(0, 24, (1, 5, 5, 3), dtype=np.uint8)
    exact = [(float(r), float(g), float(q)) for r, g, q in novel]
    without, with_them = run(image, exact[:-1], threshold), run(image, exact, threshold)
    claimed = with_them.known == 2 + len(exact) if exact else with_them.known < 0
    for name in ("known", "open_set"):
        a, b = getattr(without, name), getattr(with_them, name)
        assert torch.equal(a[~claimed], b[~claimed])
    for name in ("anomaly", "direction", "embedding"):
        assert torch.equal(getattr(without, name), getattr(with_them, name))


def test_softmax_head_takes_its_logits_and_novel_prototypes_by_radius_alone() -> None:
    constants = {"max_logit": Calibration(low=-30.0, high=0.0)}
    score = CalibratedScore("max_logit", "constant", constants)
    graph = OpenWorldGraph(ColourNetwork(), score, metric=False)  # type: ignore[arg-type]
    image = pixels((9, 3), (3, 9))
    assert known(image, graph=graph) == [0, 1]
    assert known(image, [(3, 8, 2.0)], graph=graph) == [0, 2]
    assert run(image, graph=graph).anomaly[0, 0].tolist() == pytest.approx([0.7, 0.7])
