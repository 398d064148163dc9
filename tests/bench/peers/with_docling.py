"""`python with_docling.py URL FOLDER OUT`: docling's pipeline for vision models with its API client.

As its documentation has it (VlmPipeline, ApiVlmOptions). IN_FLIGHT requests at once need batches of as many
pages, since a batch is rendered first and then asked for, and several documents at once, since it waits for the last
page of each batch. Runs in the environment `docling`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from docling.datamodel.base_models import InputFormat
from docling.datamodel.pipeline_options import VlmPipelineOptions
from docling.datamodel.pipeline_options_vlm_model import ApiVlmOptions, ResponseFormat
from docling.datamodel.settings import settings
from docling.document_converter import DocumentConverter, PdfFormatOption
from docling.pipeline.vlm_pipeline import VlmPipeline

AT_ONCE, BATCH = int(os.environ["AT_ONCE"]), int(os.environ["BATCH"])


def main(url: str, folder: Path, out: Path) -> None:
    settings.perf.page_batch_size = BATCH
    settings.perf.doc_batch_size = settings.perf.doc_batch_concurrency = AT_ONCE
    asked = ApiVlmOptions(
        url=f"{url}/chat/completions",  # type: ignore[arg-type]
        params={"model": "modelled", "max_tokens": 4096},
        prompt="Convert this page to docling.",
        response_format=ResponseFormat.DOCTAGS,
        scale=float(os.environ["SCALE"]),
        timeout=240,
        concurrency=int(os.environ["IN_FLIGHT"]),
    )
    options = VlmPipelineOptions(enable_remote_services=True, vlm_options=asked, generate_page_images=False)
    option = PdfFormatOption(pipeline_cls=VlmPipeline, pipeline_options=options)
    converter = DocumentConverter(allowed_formats=[InputFormat.PDF], format_options={InputFormat.PDF: option})
    for found in converter.convert_all(sorted(folder.glob("*.pdf")), raises_on_error=False):
        (out / f"{found.input.file.stem}.md").write_text(found.document.export_to_markdown())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
