"""Small files of a submission are put together, and all lie in the store before there is a job."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import anyio
import pytest

from api.intake import GATHERED, PIECE, Intake
from jobs.blobs import NewObject
from jobs.blobs.local import LocalStore
from jobs.lifecycle import NewDocument
from jobs.settings import LimitSettings
from tests.documents import pdf

DAY = date(2026, 1, 31)


class Counting(LocalStore):
    """Tells how many objects each call put."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls: list[int] = []

    def put_all(self, objects: Sequence[NewObject]) -> None:
        self.calls.append(len(objects))
        super().put_all(objects)


@pytest.fixture
def store(tmp_path):
    return Counting(tmp_path / "objects")


def taken_in(store: Counting, *files: Sequence[bytes]) -> list[NewDocument]:
    """Each file in the pieces in which it comes."""

    async def take() -> list[NewDocument]:
        intake = Intake(store, LimitSettings(), anyio.CapacityLimiter(2))
        for number, pieces in enumerate(files):
            await intake.begin("job_1", DAY, f"{number}.pdf")
            for piece in pieces:
                await intake.write(piece)
            await intake.end()
        await intake.settle()
        return intake.documents

    return anyio.run(take)


def test_small_files_are_put_together_in_order(store):
    files = [pdf(1, f"file {number} page {{n}}") for number in range(GATHERED + 3)]
    documents = taken_in(store, *([data] for data in files))
    assert store.calls == [GATHERED, 3]
    assert [document.name for document in documents] == [f"{number}.pdf" for number in range(len(files))]
    assert [store.get(document.source_key) for document in documents] == files
    assert {document.media_type for document in documents} == {"application/pdf"}


def test_a_piece_of_them_is_put_at_once(store):
    data = pdf(1) + bytes(PIECE // 2)
    taken_in(store, *([data] for _ in range(5)))
    assert store.calls == [2, 2, 1]


def test_a_large_file_goes_by_itself(store):
    small, large = pdf(1), pdf(1) + bytes(3 * PIECE)
    documents = taken_in(store, [small], [large[:PIECE], large[PIECE:]], [small])
    assert store.calls == [2]
    assert [store.get(document.source_key) for document in documents] == [small, large, small]


def test_a_bad_file_is_an_error_and_not_put(store):
    documents = taken_in(store, [b"no document at all"], [], [pdf(1)])
    assert [document.error and document.error.code for document in documents] == [
        "unsupported_type", "empty_file", None,
    ]  # fmt: skip
    assert [stat.key for stat in store.list("")] == [documents[2].source_key]
