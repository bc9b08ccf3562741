"""The core's prototypes in torch: Eq. 12 pixel by pixel, and the same network for both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from owseg.engines.base import PrototypeSlots
from owseg.errors import ShotError
from owseg.prototypes import NovelClass, PrototypeSet
from owseg.prototypes.learn import LearnedClass, learn_class
from owseg_training.incremental import npm
from owseg_training.incremental.bank import AnnotatedImage, to_tensor
from owseg_training.incremental.npm import EmbeddingEngine, learn_prototypes, with_prototypes
from owseg_training.models import DMLNet, NetworkOutput

KNOWN = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])


class ColourNetwork(nn.Module):
    """A network of stride 1 whose embedding is red and green of 0..255."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prototypes", KNOWN)

    def forward(self, image: torch.Tensor) -> NetworkOutput:
        colours = (image * 255).round()
        return NetworkOutput(colours[:, :2], colours[:, 1:])


def novel(class_id: int, vectors: list[tuple[int, int]], radius: float) -> NovelClass:
    return NovelClass(
        id=class_id,
        name=f"novel {class_id}",
        color=(0, 0, 0),
        radius=radius,
        vectors=np.array(vectors, np.float32),
    )


def test_equation_12_pixel_by_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 24, (20, 30, 3), dtype=np.uint8)
    classes = (novel(3, [(12, 12), (20, 3)], 70.0), novel(4, [(14, 12)], 190.0))
    predict = with_prototypes(ColourNetwork(), PrototypeSet(classes=classes))  # type: ignore[arg-type]
    found = predict(to_tensor(image, torch.device("cpu")))["npm"][0].numpy()
    vectors = [(*v, c.radius, c.id) for c in classes for v in c.vectors.tolist()]
    expected = np.zeros(image.shape[:2], np.int64)
    for y, x in np.ndindex(expected.shape):
        f = image[y, x, :2].astype(float)
        at_known = [float(((f - m.numpy()) ** 2).sum()) for m in KNOWN]
        at_novel = [float((f[0] - a) ** 2 + (f[1] - b) ** 2) for a, b, _, _ in vectors]
        expected[y, x] = int(np.argmin(at_known))
        reaching = [k for k, v in enumerate(vectors) if at_novel[k] < min(v[2], min(at_known))]
        if reaching:
            expected[y, x] = vectors[min(reaching, key=lambda k: at_novel[k])][3]
    assert set(np.unique(expected)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(found, expected)


def test_the_engine_gives_the_embedding_of_the_network(
    base: DMLNet, shots: list[AnnotatedImage]
) -> None:
    names = [f"c{i}" for i in range(10)]
    engine = EmbeddingEngine(base, names, (64, 96))
    slots = PrototypeSlots.empty(engine.manifest)
    found = engine.infer(shots[0].image[None], slots, 1.0, ("embedding",))["embedding"]
    with torch.no_grad():
        expected = base(to_tensor(shots[0].image, torch.device("cpu"))).embedding
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-4)
    assert engine.manifest.class_names == tuple(names)
    np.testing.assert_array_equal(engine.manifest.prototypes, 3 * np.eye(10))


def test_classes_are_learnt_one_after_another(
    base: DMLNet, shots: list[AnnotatedImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = EmbeddingEngine(base, [f"c{i}" for i in range(10)], (64, 96))
    sky = [AnnotatedImage(shot.image, np.eye(64, 96, dtype=np.uint8) * 0) for shot in shots]
    for shot in sky:
        shot.mask[:16] = 1
    seen: list[PrototypeSet] = []

    def spy(*args: Any, present: PrototypeSet) -> LearnedClass:
        seen.append(present)
        return learn_class(*args, present=present)

    monkeypatch.setattr(npm, "learn_class", spy)
    found = learn_prototypes(engine, {"car": shots, "top": sky})
    assert [(item.id, item.name) for item in found.classes] == [(10, "car"), (11, "top")]
    alone = learn_prototypes(engine, {"car": shots})
    np.testing.assert_array_equal(found.classes[0].vectors, alone.classes[0].vectors)
    assert [[c.name for c in present.classes] for present in seen] == [[], ["car"], []]
    with torch.no_grad():
        embedding = base(to_tensor(shots[0].image, torch.device("cpu"))).embedding[0]
    inside = embedding[:, 4, 4]  # a cell within the car
    gap = float(((inside.numpy() - alone.classes[0].vectors) ** 2).sum(axis=1).min())
    outside = embedding[:, 0, 11]
    far = float(((outside.numpy() - alone.classes[0].vectors) ** 2).sum(axis=1).min())
    assert gap < far


def test_a_class_too_small_for_the_grid_is_refused(
    base: DMLNet, shots: list[AnnotatedImage]
) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[0, 0] = 1
    engine = EmbeddingEngine(base, [f"c{i}" for i in range(10)], (64, 96))
    with pytest.raises(ShotError, match="mark more of the class"):
        learn_prototypes(engine, {"dot": [AnnotatedImage(shots[0].image, mask)]})
