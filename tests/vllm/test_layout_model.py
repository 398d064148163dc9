"""PP-DocLayoutV2 and V3 by transformers, the full architecture with small random weights."""

import numpy as np
import pytest
import torch

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from tests.vllm.checkpoints import write_layout
from tests.vllm.numbers import vllm_tier
from workers.engines.paddleocr_vl.layout_model import LayoutModel
from workers.engines.paddleocr_vl.versions import VERSIONS

pytestmark = vllm_tier


@pytest.fixture(scope="module", params=["1.6", "1.0"])
def model(request, tmp_path_factory):
    version = VERSIONS[request.param]
    folder = write_layout(tmp_path_factory.mktemp("layout"), version.layout)
    found = LayoutModel(EngineSettings(vl_layout_model=str(folder)), version)
    found.start()
    return found


@pytest.fixture(scope="module")
def pages():
    return [np.random.default_rng(seed).integers(0, 256, (800, 800, 3), np.uint8) for seed in range(3)]


def test_a_page_is_seen_the_same_alone_and_among_others(model, pages):
    for page, among in zip(pages, model.detect(pages), strict=True):
        [alone] = model.detect([page])
        assert len(alone.scores) > 0
        assert (alone.classes.tolist(), alone.order.tolist()) == (among.classes.tolist(), among.order.tolist())
        np.testing.assert_allclose(alone.boxes, among.boxes, atol=1e-5)
        assert (alone.masks is None) == (among.masks is None) == (model._columns == 8)


def test_detections_are_what_the_reference_makes_of_the_models_outputs(model, pages):
    """Query by query and pair by pair: the reference, section 4, in its own words."""
    with torch.inference_mode():
        outputs = model._model(pixel_values=torch.from_numpy(pages[0]).permute(2, 0, 1)[None].float() / 255)
    scores = outputs.logits[0].sigmoid().numpy()
    best = sorted(np.ndindex(*scores.shape), key=lambda place: -scores[place])[: len(scores)]
    best = [place for place in best if scores[place] > model._least]
    pairs = outputs.order_logits[0].sigmoid().numpy()
    count = len(pairs)
    votes = [
        sum(pairs[i, j] for i in range(j)) + sum(1 - pairs[j, i] for i in range(j + 1, count)) for j in range(count)
    ]
    ranks = {query: rank for rank, query in enumerate(np.argsort(votes))}
    [found] = model.detect([pages[0]])
    assert found.classes.tolist() == [label for _, label in best]
    assert found.order.tolist() == [ranks[query] for query, _ in best]
    for box, (query, _) in zip(found.boxes, best, strict=True):
        x, y, width, height = outputs.pred_boxes[0, query].tolist()
        np.testing.assert_allclose(
            box, [x - width / 2, y - height / 2, x + width / 2, y + height / 2], rtol=1e-5, atol=1e-6
        )
    if found.masks is not None:
        expected = [outputs.out_masks[0, query].sigmoid().numpy() > 0.5 for query, _ in best]
        np.testing.assert_array_equal(found.masks.astype(bool), expected)


def test_a_path_without_a_model_is_no_start(tmp_path):
    with pytest.raises(EngineUnavailable, match="no layout model at") as raised:
        LayoutModel(EngineSettings(vl_layout_model=str(tmp_path)), VERSIONS["1.6"]).start()
    assert raised.value.where == "PAGEMILL_VL_LAYOUT_MODEL"
