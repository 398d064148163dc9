"""`python -m tests.bench.peers.bare URL FOLDER OUT`: the least that reads these pages.

One loop, two render processes, nothing kept. Renders as large as pagemill does (`drawing`, pypdfium2), sends each page
as JPEG (aiohttp), writes its text beside the others. No queue, no retry, no record of anything: the floor of what a
client costs. Runs in the environment `openai`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import aiohttp
import pypdfium2

from tests.bench.peers.drawing import scale

QUALITY = 90
PROCESSES = 2
AHEAD = 8
"""Pages that are rendered while as many as may be are in flight."""

_opened: tuple[str, pypdfium2.PdfDocument] | None = None


def page_count(path: str) -> int:
    return len(_document(path))


def rendered(path: str, index: int) -> str:
    """The page as JPEG in base64."""
    page = _document(path)[index]
    buffer = io.BytesIO()
    drawn = page.render(scale=scale(*page.get_size()), rev_byteorder=True)
    drawn.to_pil().convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    page.close()
    return base64.b64encode(buffer.getvalue()).decode()


def _document(path: str) -> pypdfium2.PdfDocument:
    """Open until the next one is."""
    global _opened
    if _opened is None or _opened[0] != path:
        _opened = (path, pypdfium2.PdfDocument(path))
    return _opened[1]


async def main(url: str, folder: Path, out: Path, in_flight: int) -> None:
    loop = asyncio.get_running_loop()
    asked, ahead = asyncio.Semaphore(in_flight), asyncio.Semaphore(in_flight + AHEAD)
    connector = aiohttp.TCPConnector(limit=0)
    with ProcessPoolExecutor(PROCESSES) as pool:
        async with aiohttp.ClientSession(connector=connector) as session:

            async def read(path: Path, index: int) -> None:
                try:
                    image = await loop.run_in_executor(pool, rendered, str(path), index)
                    async with asked, session.post(f"{url}/chat/completions", data=_body(image)) as response:
                        answer = await response.json()
                finally:
                    ahead.release()
                text = answer["choices"][0]["message"]["content"]
                (out / f"{path.stem}-{index + 1:04d}.md").write_text(text)

            async with asyncio.TaskGroup() as group:
                for path in sorted(folder.glob("*.pdf")):
                    for index in range(await loop.run_in_executor(pool, page_count, str(path))):
                        await ahead.acquire()
                        group.create_task(read(path, index))


def _body(image: str) -> bytes:
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}},
        {"type": "text", "text": "OCR:"},
    ]
    message = {"role": "user", "content": content}
    return json.dumps({"model": "modelled", "messages": [message], "max_tokens": 4096, "temperature": 0}).encode()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(os.environ["IN_FLIGHT"])))
