"""Submit files and print their text, with httpx alone.

PAGEMILL_URL=http://127.0.0.1:8470 PAGEMILL_API_KEY=pm_… python plain.py a.pdf b.png
"""

import os
import sys
import uuid
from pathlib import Path

import httpx

ENDED = {"succeeded", "partial", "failed", "canceled"}


def main(paths: list[str]) -> None:
    server = os.environ.get("PAGEMILL_URL", "http://127.0.0.1:8470")
    key = os.environ.get("PAGEMILL_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=server + "/v1/", headers=headers, timeout=90) as api:
        files = [("file", (Path(path).name, Path(path).read_bytes())) for path in paths]
        # The same key with every try: a request that did arrive makes no second job.
        job = checked(api.post("jobs", files=files, headers={"Idempotency-Key": str(uuid.uuid4())})).json()
        while job["state"] not in ENDED:
            job = checked(api.get(f"jobs/{job['id']}", headers={"Prefer": "wait=60"})).json()
        for document in checked(api.get(f"jobs/{job['id']}/documents")).json()["items"]:
            print(f"--- {document['name']}: {document['state']}")
            if document["error"] is None:
                place = f"jobs/{job['id']}/documents/{document['id']}/result"
                print(checked(api.get(place, params={"format": "text"})).text)
            else:
                print(document["error"]["code"], document["error"]["detail"])


def checked(response: httpx.Response) -> httpx.Response:
    """Every error has a code that programs may go by, and says whether trying again may help."""
    if response.is_error:
        problem = response.json()
        raise SystemExit(f"{problem['code']}: {problem['detail']} (again later: {problem['retryable']})")
    return response


if __name__ == "__main__":
    main(sys.argv[1:])
