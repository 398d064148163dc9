"""What differs between the versions of PaddleOCR-VL. Source: PaddleX 3.7.2, `configs/pipelines/PaddleOCR-VL*.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobs.options import VlTask, VlVersion
from jobs.results import Label

DEFAULT_VERSION: VlVersion = "1.6"

CLASS_LABELS: tuple[Label, ...] = (
    "abstract", "algorithm", "aside_text", "chart", "content", "display_formula", "doc_title", "figure_title",
    "footer", "footer_image", "footnote", "formula_number", "header", "header_image", "image", "inline_formula",
    "number", "paragraph_title", "reference", "reference_content", "seal", "table", "text", "vertical_text",
    "vision_footnote",
)  # fmt: skip
"""Label by class id, of PP-DocLayoutV2 and V3. Never read `id2label` of a checkpoint: the published ones fold 5 and 15,
9, 13 and 23 into other names."""

LAYOUT_SIZE = (800, 800)
"""Width and height of the layout models' input; the aspect is not kept."""

_V2_THRESHOLDS = dict.fromkeys(range(len(CLASS_LABELS)), 0.5) | {
    5: 0.4, 6: 0.4, 15: 0.4, 17: 0.4, 20: 0.45, 22: 0.4, 23: 0.4,
}  # fmt: skip
_V3_THRESHOLDS = dict.fromkeys(range(len(CLASS_LABELS)), 0.3)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version: its models and what they can do."""

    name: VlVersion
    model: str
    """Hub id of the vision language model."""
    layout: str
    """Name of the layout model."""
    layout_model: str
    """Hub id of its safetensors."""
    layout_thresholds: Mapping[int, float]
    """By class id; a box must be surer than this."""
    polygons: bool
    """The layout model gives masks, from which polygons are made."""
    generation_prompt: str
    """What follows the question; v1 ends with a space, later ones with a line."""
    tasks: frozenset[VlTask]


_FIRST_TASKS: frozenset[VlTask] = frozenset({"ocr", "table", "formula", "chart"})
_LATER_TASKS: frozenset[VlTask] = _FIRST_TASKS | {"seal", "spotting"}

VERSIONS: Mapping[VlVersion, ModelVersion] = MappingProxyType({
    "1.0": ModelVersion(
        name="1.0",
        model="PaddlePaddle/PaddleOCR-VL",
        layout="PP-DocLayoutV2",
        layout_model="PaddlePaddle/PP-DocLayoutV2_safetensors",
        layout_thresholds=MappingProxyType(_V2_THRESHOLDS),
        polygons=False,
        generation_prompt="Assistant: ",
        tasks=_FIRST_TASKS,
    ),
    **{
        name: ModelVersion(
            name=name,
            model=f"PaddlePaddle/PaddleOCR-VL-{name}",
            layout="PP-DocLayoutV3",
            layout_model="PaddlePaddle/PP-DocLayoutV3_safetensors",
            layout_thresholds=MappingProxyType(_V3_THRESHOLDS),
            polygons=True,
            generation_prompt="Assistant:\n",
            tasks=_LATER_TASKS,
        )
        for name in ("1.5", "1.6")
    },
})  # fmt: skip
