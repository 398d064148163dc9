"""The echo engine does what its options say, page by page."""

import asyncio
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jobs.errors import EngineError, PageRenderFailed
from jobs.options import EchoOptions, PageOptions
from jobs.results import PageImage, Warning_
from jobs.settings import EngineSettings
from workers.engines import build_engine
from workers.engines.base import RenderedPage
from workers.engines.echo import EchoEngine, EchoPageHalf

IMAGE = PageImage(width=612, height=792, dpi=72)
SCALED = Warning_(code="page_scaled_down", detail="for the test")


@dataclass
class HandedPage:
    """A page handle whose render process is this one."""

    number: int
    options: PageOptions
    document_id: str = "doc_1"
    half: EchoPageHalf = field(default_factory=lambda: EchoPageHalf(EngineSettings(name="echo")))
    calls: list[str] = field(default_factory=list)

    async def call(self, method, *args):
        self.calls.append(method)
        rendered = RenderedPage(
            number=self.number, pixels=None, info=IMAGE, warnings=(SCALED,), render_seconds=0.25
        )  # echo never touches the pixels
        return pickle.loads(pickle.dumps(getattr(self.half, method)(rendered, *args)))


def page(number, *, document_id="doc_1", **echo):
    return HandedPage(number, PageOptions(echo=EchoOptions(**echo)) if echo else PageOptions(), document_id)


def engine(state: Path | None = None) -> EchoEngine:
    built = build_engine(EngineSettings(name="echo", echo_state=state))
    assert isinstance(built, EchoEngine)
    return built


def read(handle, state=None):
    return asyncio.run(engine(state).recognize(handle)).result


def test_the_content_names_the_page():
    results = [read(page(number)) for number in (1, 7, 400)]
    assert [r.number for r in results] == [1, 7, 400]
    assert [[b.content for b in r.blocks] for r in results] == [["page 1"], ["page 7"], ["page 400"]]


def test_does_not_render_unless_told():
    handle = page(3)
    assert read(handle).image is None
    assert handle.calls == []


def test_reports_the_rendered_image_its_warnings_and_its_time():
    result = read(page(3, render=True))
    assert result.image == IMAGE
    assert result.blocks[0].bbox == (0, 0, 612, 792)
    assert result.warnings == (SCALED,)
    assert result.timings == {"render": 0.25}


def test_pages_take_their_time_side_by_side():
    """Page 1 waits for longer than page 2 although it was given first."""

    async def finished():
        echo, order = engine(), []

        async def read_one(number):
            seconds = {"1": 0.05, "*": 0.0}
            await echo.recognize(page(number, seconds=seconds))
            order.append(number)

        await asyncio.gather(read_one(1), read_one(2))
        return order

    assert asyncio.run(finished()) == [2, 1]


def test_errors_hit_their_page_alone():
    assert read(page(1, faults={"2": "error"})).blocks[0].content == "page 1"
    with pytest.raises(EngineError) as raised:
        read(page(2, faults={"2": "error"}))
    assert raised.value.retryable


def test_a_star_means_every_page_and_gives_way_to_a_number():
    faults = {"*": "fatal_error", "5": "error"}
    with pytest.raises(PageRenderFailed) as raised:
        read(page(1, faults=faults))
    assert not raised.value.retryable
    with pytest.raises(EngineError):
        read(page(5, faults=faults))


def test_error_once_is_remembered_by_the_next_process(tmp_path):
    """Each `read` builds a new engine, as a restarted worker would."""
    faults = {"*": "error_once"}
    for document_id, number in (("doc_1", 1), ("doc_1", 2), ("doc_2", 1)):
        with pytest.raises(EngineError):
            read(page(number, document_id=document_id, faults=faults), tmp_path)
        assert read(page(number, document_id=document_id, faults=faults), tmp_path).number == number


def test_faults_that_happen_once_need_a_place_to_remember():
    with pytest.raises(PageRenderFailed, match="PAGEMILL_ECHO_STATE"):
        read(page(1, faults={"*": "crash_once"}))


DIES = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
from test_echo import page, read
print(read(page(1, faults={{"1": {fault!r}}}), Path({state!r})).blocks[0].content)
"""


def run_in_a_process(fault, state):
    here = Path(__file__).resolve().parent
    script = DIES.format(root=str(here.parents[1]), here=str(here), fault=fault, state=str(state))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("fault", ["crash", "kill_render"])
def test_crashes_end_the_process_every_time(fault, tmp_path):
    """Here the page half shares the worker's process, so that kill_render takes it along."""
    for _ in range(2):
        assert run_in_a_process(fault, tmp_path).returncode == -signal.SIGKILL


def test_crash_once_ends_the_first_process_alone(tmp_path):
    assert run_in_a_process("crash_once", tmp_path).returncode == -signal.SIGKILL
    again = run_in_a_process("crash_once", tmp_path)
    assert (again.returncode, again.stdout) == (0, "page 1\n"), again.stderr


def test_a_hanging_page_hangs_until_it_is_canceled():
    async def hang():
        task = asyncio.create_task(engine().recognize(page(1, faults={"1": "hang"})))
        done, _ = await asyncio.wait({task}, timeout=0.05)
        assert not done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(hang())


def test_capacity_is_the_operators_where_set():
    assert EchoEngine(EngineSettings(name="echo")).capacity == 64
    assert EchoEngine(EngineSettings(name="echo", engine_capacity=5)).capacity == 5
