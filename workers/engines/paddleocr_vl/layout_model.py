"""PP-DocLayoutV2 and V3 by transformers, on the worker's device. The only module that imports torch and transformers.

transformers' own image processor needs torchvision: the 800 x 800 input comes from the page half instead
(`page.layout_input`), and what its `post_process_object_detection` does is done here on the device, because the masks
of all 300 queries are 48 MB a page and those above the lowest threshold a hundredth of that.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.errors import EngineUnavailable
from jobs.settings import EngineSettings
from workers.engines.paddleocr_vl.detections import Detections
from workers.engines.paddleocr_vl.versions import LAYOUT_SIZE, ModelVersion

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

MASK_THRESHOLD = 0.5
"""A place belongs to a region from this probability on (transformers' post-processing)."""
CLASSES = {"PP-DocLayoutV2": "PPDocLayoutV2ForObjectDetection", "PP-DocLayoutV3": "PPDocLayoutV3ForObjectDetection"}


def torch_device(device: str) -> str:
    """`cpu`, or a GPU's index as torch names it: the first, for a worker sees only the card it was given."""
    return "cpu" if device == "cpu" else "cuda"


class LayoutModel:
    """One model; `detect` is called by one thread at a time."""

    def __init__(self, settings: EngineSettings, version: ModelVersion) -> None:
        self.source = settings.vl_layout_model or version.layout_model
        self._revision = settings.vl_layout_revision
        self._class = CLASSES[version.layout]
        self._columns = 7 if version.polygons else 8
        self._least = min(version.layout_thresholds.values())
        self._device = torch_device(settings.device)

    def start(self) -> None:
        """Load and run once. Raises EngineUnavailable where the model or a library is missing."""
        try:
            import torch
            import transformers
        except ImportError as error:
            raise EngineUnavailable(f"the layout model needs torch and transformers: {error}") from error
        try:
            self._model = getattr(transformers, self._class).from_pretrained(
                self.source, revision=self._revision or "main", dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise EngineUnavailable(
                f"no layout model at {self.source!r}: {error}", where="PAGEMILL_VL_LAYOUT_MODEL"
            ) from error
        self._model = self._model.to(self._device).eval()
        self.detect([np.zeros((*LAYOUT_SIZE, 3), np.uint8)])

    def detect(self, pages: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """What is on each of the pages (800, 800, 3). Raises what torch raises."""
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(pages)).to(self._device)
            outputs = self._model(pixel_values=batch.permute(0, 3, 1, 2).float() / 255)
            return [self._page(outputs, index) for index in range(len(pages))]

    def _page(self, outputs: Any, index: int) -> Detections:
        """The queries of one page above the lowest threshold, surest first, a query at most once for each class."""
        import torch

        logits = outputs.logits[index].float()
        queries, classes = logits.shape
        scores, flat = torch.topk(logits.sigmoid().flatten(), queries)
        keep = scores > self._least
        scores, flat = scores[keep], flat[keep]
        query = flat // classes
        centre, size = outputs.pred_boxes[index].float()[query].split(2, dim=-1)
        return Detections(
            classes=(flat % classes).cpu().numpy(),
            scores=scores.cpu().numpy(),
            boxes=torch.cat([centre - size / 2, centre + size / 2], dim=-1).cpu().numpy(),
            order=_reading_order(outputs.order_logits[index].float())[query].cpu().numpy(),
            columns=self._columns,
            packed_masks=self._masks(outputs, index, query),
        )

    def _masks(self, outputs: Any, index: int, query: Any) -> NDArray[np.uint8] | None:
        found = getattr(outputs, "out_masks", None)
        if found is None or self._columns == 8:
            return None
        return np.packbits((found[index][query].sigmoid() > MASK_THRESHOLD).cpu().numpy(), axis=-1)


def _reading_order(logits: Any) -> Any:
    """The rank of each query: every pair votes for who comes later, the fewest votes come first (transformers,
    `_get_order_seqs`)."""
    import torch

    scores = logits.sigmoid()
    votes = scores.triu(diagonal=1).sum(dim=0) + (1 - scores.transpose(0, 1)).tril(diagonal=-1).sum(dim=0)
    ranks = torch.empty_like(votes, dtype=torch.int64)
    ranks[torch.argsort(votes)] = torch.arange(len(votes), device=votes.device)
    return ranks
