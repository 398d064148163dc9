"""Checkpoints with random weights, made on the spot: every part of the real models, small.

The ids, the tags and the shapes that code depends on (head size, sections of the rotary embedding, patches, queries)
are those of the real ones (testdata/paddleocr-vl-config); widths and depths are not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PaddleOCRVLConfig,
    PaddleOCRVLForConditionalGeneration,
    PPDocLayoutV2Config,
    PPDocLayoutV2ForObjectDetection,
    PPDocLayoutV3Config,
    PPDocLayoutV3ForObjectDetection,
)

VOCABULARY = 103_424
SPECIAL = {
    "<unk>": 0, "<s>": 1, "</s>": 2, "<|end_of_sentence|>": 100_272, "<|begin_of_sentence|>": 100_273,
    "<|IMAGE_PLACEHOLDER|>": 100_295, "<|IMAGE_START|>": 101_305, "<|IMAGE_END|>": 101_306, "<|video_pad|>": 101_307,
    **{f"<|LOC_{place}|>": 100_297 + place for place in range(1001)},
}  # fmt: skip
TAGS = {"<ecel>": 101_308, "<fcel>": 101_309, "<xcel>": 101_310, "<lcel>": 101_311, "<ucel>": 101_312, "<nl>": 101_313}
"""Ordinary added tokens, so that they survive skip_special_tokens."""
LAYOUT_CLASSES = {5: 0.0, 17: 0.2, 21: 0.1, 22: 0.4}
"""Bias of display_formula, paragraph_title, table and text above the others, which are never found: what these become
on their way is known, and each of them is read by the model."""


GAIN = 2.0
"""Of the layout model's weights, by what each of them sums up (He's initialisation)."""


def write_model(folder: Path, *, seed: int = 1) -> Path:
    """A PaddleOCR-VL of 7 M parameters, nearly all of them the embeddings of its vocabulary. It reads nothing: greedy,
    it says the same few tokens for ever."""
    torch.manual_seed(seed)
    model = PaddleOCRVLForConditionalGeneration(_config())
    model.save_pretrained(folder)
    write_companions(folder)
    return folder


def write_companions(folder: Path) -> None:
    """What goes with a PaddleOCR-VL of any size: tokenizer and image processor."""
    _write_tokenizer(folder)
    _write(folder / "processor_config.json", {"image_processor": _IMAGES, "processor_class": "PaddleOCRVLProcessor"})


def _config() -> PaddleOCRVLConfig:
    text = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 128, "vocab_size": VOCABULARY, "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-5, "use_bias": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0, "mrope_section": [16, 24, 24]},
    }  # fmt: skip
    vision = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 384, "patch_size": 14, "spatial_merge_size": 2,
    }  # fmt: skip
    return PaddleOCRVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=SPECIAL["<|IMAGE_PLACEHOLDER|>"],
        video_token_id=SPECIAL["<|video_pad|>"],
        vision_start_token_id=SPECIAL["<|IMAGE_START|>"],
        vision_end_token_id=SPECIAL["<|IMAGE_END|>"],
        tie_word_embeddings=True,
        dtype="float32",
    )


_IMAGES = {
    "image_processor_type": "PaddleOCRVLImageProcessor", "do_convert_rgb": True, "do_normalize": True,
    "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "merge_size": 2,
    "patch_size": 14, "temporal_patch_size": 1, "resample": 3, "rescale_factor": 1 / 255,
    "size": {"shortest_edge": 112_896, "longest_edge": 1_003_520},
}  # fmt: skip


def _write_tokenizer(folder: Path) -> None:
    """Bytes, the special tokens at their ids, and a word of its own for every other id."""
    named = {number: name for name, number in (SPECIAL | TAGS).items()}
    spare = iter(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {named.get(number) or next(spare, f"word{number}"): number for number in range(VOCABULARY)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    made.add_tokens([AddedToken(name, normalized=False) for name in TAGS])
    made.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "backend": "tokenizers", "tokenizer_class": "TokenizersBackend", "processor_class": "PaddleOCRVLProcessor",
            "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>",
            "image_token": "<|IMAGE_PLACEHOLDER|>", "model_max_length": 131_072,
            "model_specific_special_tokens": {"image_token": "<|IMAGE_PLACEHOLDER|>"},
        },
    )  # fmt: skip


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1))


_BACKBONE = {
    "model_type": "hgnet_v2", "num_channels": 3, "stem_channels": [3, 8, 8], "embedding_size": 8,
    "stage_in_channels": [8, 16, 16, 16], "stage_mid_channels": [8, 8, 8, 8], "stage_out_channels": [16, 16, 16, 16],
    "stage_num_blocks": [1, 1, 1, 1], "stage_downsample": [False, True, True, True],
    "stage_light_block": [False, False, True, True], "stage_kernel_size": [3, 3, 5, 5],
    "stage_numb_of_layers": [1, 1, 1, 1], "hidden_sizes": [16, 16, 16, 16], "depths": [1, 1, 1, 1],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}  # fmt: skip
_DETECTOR = {
    "num_labels": 25, "encoder_in_channels": [16, 16, 16], "encoder_hidden_dim": 32, "d_model": 32,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "decoder_in_channels": [32, 32, 32], "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "decoder_layers": 2, "num_denoising": 0,
}  # fmt: skip


def write_layout(folder: Path, version: str = "PP-DocLayoutV3", *, queries: int = 24, seed: int = 3) -> Path:
    """A layout model of 0.2 M parameters that finds boxes wherever its weights tell it to."""
    small = _DETECTOR | {"backbone_config": _BACKBONE, "num_queries": queries}
    if version == "PP-DocLayoutV3":
        more = {"x4_feat_dim": 16, "mask_feature_channels": [16, 16], "num_prototypes": 8, "mask_enhanced": False}
        small |= more | {"global_pointer_head_size": 8}
    else:
        small |= {"backbone_config": _BACKBONE | {"out_features": ["stage2", "stage3", "stage4"]}}
        small |= {"reading_order_config": {"num_classes": 25, "num_hidden_layers": 1}}
    write_layout_of(folder, version, small, seed=seed)
    return folder


def write_layout_of(folder: Path, version: str, sizes: dict[str, Any], *, seed: int = 3) -> int:
    """A layout model of any size; without `sizes`, that of the published ones. Returns the number of parameters."""
    torch.manual_seed(seed)
    model: Any
    if version == "PP-DocLayoutV3":
        model = PPDocLayoutV3ForObjectDetection(PPDocLayoutV3Config(**{"num_labels": 25} | sizes))
    else:
        least = {"num_labels": 25, "class_thresholds": [0.4] * 25, "class_order": [*range(25)]}
        least["reading_order_config"] = {"num_classes": 25}
        model = PPDocLayoutV2ForObjectDetection(PPDocLayoutV2Config(**least | sizes))
    _let_it_find(model)
    model.save_pretrained(folder)
    return sum(values.numel() for values in model.parameters())


@torch.no_grad()
def _let_it_find(model: torch.nn.Module) -> None:
    """As transformers makes it, what it sees of the page vanishes on its way, and every query ends as zeros."""
    for name, values in model.named_parameters():
        if values.dim() > 1:
            values.normal_(0, (GAIN / values[0].numel()) ** 0.5)
        elif name.endswith("bias") and ("class_embed" in name or "score_head" in name):
            values.fill_(-20)
            for class_id, bias in LAYOUT_CLASSES.items():
                values[class_id] = bias
