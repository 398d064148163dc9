"""The same with the typed client: what comes back are values, what goes wrong are the service's own errors.

PAGEMILL_URL=http://127.0.0.1:8470 PAGEMILL_API_KEY=pm_… python typed.py a.pdf
"""

import sys
from pathlib import Path

from api.client import Client, Upload
from jobs.errors import PagemillError
from jobs.options import JobOptions
from jobs.settings import ClientSettings, load


def main(path: str) -> None:
    with Client.of(load(ClientSettings)) as client:
        source = client.upload(Upload.of(Path(path)))  # by a link, however large it is
        job = client.submit_sources([source], JobOptions(text="auto"), idempotency_key=f"example-{source.upload}")
        for seen in client.follow(job.id):
            print(f"{seen.state.value}: {seen.pages.succeeded} of {seen.pages.total} pages", file=sys.stderr)
        for document in client.documents(job.id):
            for page in client.finished_pages(job.id, document.id):
                if page.result is not None:
                    print("\n".join(block.content for block in page.result.blocks))


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except PagemillError as error:
        raise SystemExit(f"{error.code}: {error}") from None
