"""`python -m tests.bench.celery_designs.client pages|batches|chunks`: what submits documents to a design.

Reads one JSON object a line, `{"file": …, "documents": [[id, pages], …]}`; answers with one, `{"begun": …, "cpu": …}`:
when it began (Unix time) and the CPU seconds it took.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

from tests.bench.celery_designs import documents


def main(design: str) -> None:
    app = importlib.import_module(f"tests.bench.celery_designs.{design}")
    for line in sys.stdin:
        order = json.loads(line)
        data = Path(order["file"]).read_bytes()
        begun, cpu = time.time(), time.process_time()
        for document, pages in order["documents"]:
            documents.enter(document, pages, data)
        app.send(order["documents"])
        print(json.dumps({"begun": begun, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
