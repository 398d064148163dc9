"""The render pool with real processes: who is harmed by a page that hangs, crashes or explodes, and who is not."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from jobs.errors import (
    CorruptFile,
    DeadlineExceeded,
    EngineError,
    EngineUnavailable,
    PageRenderFailed,
    PageTimeout,
    PageTooLarge,
    PasswordIncorrect,
    PasswordRequired,
    StorageUnavailable,
)
from jobs.options import PageOptions
from jobs.settings import MIB, EngineSettings, LimitSettings
from tests import hostile_files as files
from tests.hostile.pdfs import nested_flate_bomb
from workers.render.pool import RenderPool

ROOT = Path(__file__).resolve().parents[2]
HALF = "tests.page_halves:Faulty"
PDF = "application/pdf"


def limits(**values):
    return LimitSettings(**{"page_timeout": 60.0, "split_timeout": 60.0, **values})


@contextmanager
def running(processes=1, half=HALF, device="cpu", held_pages=3, **values):
    pool = RenderPool(processes, half, EngineSettings(device=device), limits(**values), held_pages=held_pages)
    pool.start()
    try:
        yield pool
    finally:
        pool.close()
        assert not children(), "a closed pool leaves no process"


def children():
    """Render processes of this one; services of other tests may live beside them."""
    mine = psutil.Process().children()
    return [child for child in mine if any("workers.render" in part for part in _command(child))]


def _command(process):
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def until(condition, seconds=30.0):
    """Waits for a condition; the limit only ends a test that would never end."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.01)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # where nobody reaps orphans
    except psutil.NoSuchProcess:
        return True


async def until_async(condition):
    while not condition():
        await asyncio.sleep(0.01)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.pdf"
    path.write_bytes(files.pdf(8))
    return path


def page(pool, path, number=1, dpi=36, password=None):
    return pool.page(path, PDF, number, PageOptions(), dpi, password)


def call(pool, path, method, *args, number=1):
    async def run():
        async with page(pool, path, number) as handle:
            return await handle.call(method, *args)

    return asyncio.run(run())


# --- the plain way ---


def test_pages_are_rendered_and_called(source):
    async def run(pool):
        async with page(pool, source, 3, dpi=72) as handle:
            assert handle.number == 3
            assert handle.options == PageOptions()
            assert await handle.call("size") == (595, 842)
            assert await handle.call("echo", {"a": [1, b"x"]}) == {"a": [1, b"x"]}
            assert await handle.call("device") == "cpu"

    with running() as pool:
        asyncio.run(run(pool))
        assert pool.inspect(source, PDF).page_count == 8


def test_calls_of_a_page_stay_in_the_process_that_rendered_it(source):
    async def run(pool):
        handles = [page(pool, source, number) for number in (1, 2, 3, 4)]
        first = await asyncio.gather(*(handle.call("pid") for handle in handles))
        for _ in range(3):
            assert await asyncio.gather(*(handle.call("pid") for handle in handles)) == first
        assert set(first) <= {child.pid for child in children()}
        for handle in handles:
            await handle.release()

    with running(processes=2) as pool:
        asyncio.run(run(pool))


def test_two_processes_work_at_once(source, tmp_path):
    async def run(pool):
        marks = [tmp_path / "a", tmp_path / "b"]
        go = tmp_path / "go"
        async with page(pool, source, 1) as one, page(pool, source, 2) as two:
            calls = [
                asyncio.ensure_future(handle.call("wait_for", str(mark), str(go)))
                for handle, mark in zip((one, two), marks, strict=True)
            ]
            await until_async(lambda: all(mark.exists() for mark in marks))
            go.touch()
            assert await asyncio.gather(*calls) == ["went", "went"]

    with running(processes=2) as pool:
        asyncio.run(run(pool))


def test_a_process_holds_a_few_pages_and_the_rest_waits_for_a_release(source, tmp_path):
    log = tmp_path / "log"

    async def run(pool):
        handles = [page(pool, source, number) for number in range(1, 6)]
        calls = [asyncio.ensure_future(handle.call("log", str(log))) for handle in handles]
        await asyncio.gather(*calls[:2])
        # Both places are taken, and still the process serves its own pages, and opens documents.
        assert await handles[0].call("echo", 1) == 1
        inspection = await asyncio.to_thread(pool.inspect, source, PDF)
        assert inspection.page_count == 8
        assert log.read_text().split() == ["1", "2"]
        assert not calls[2].done()
        for handle in handles:
            await handle.release()
            if handle is handles[2]:
                break
        await asyncio.gather(*calls[3:])
        await handles[3].release()
        await handles[4].release()
        with pytest.raises(asyncio.CancelledError):
            await calls[2]

    with running(held_pages=2) as pool:
        asyncio.run(run(pool))
    assert log.read_text().split() == ["1", "2", "4", "5"]


def test_memory_that_a_page_left_in_pieces_is_given_back(source):
    size = 200 * MIB

    async def run(pool):
        async with page(pool, source, 1) as first:
            before = await first.call("scatter", size)
            process = psutil.Process(await first.call("pid"))
            assert process.memory_info().rss > before + 0.8 * size
            await asyncio.sleep(1.1)  # no page comes so soon after another that memory is given back each time
        await until_async(lambda: process.memory_info().rss < before + 0.2 * size)

    with running() as pool:
        asyncio.run(run(pool))


def test_documents_and_images_cross_with_their_password(tmp_path):
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(files.encrypted_pdf("sesame"))
    tiff = tmp_path / "pages.tif"
    tiff.write_bytes(files.tiff(3))

    async def run(pool):
        async with page(pool, secret, dpi=72, password="sesame") as handle:
            assert await handle.call("warnings") == []
        async with pool.page(tiff, "image/tiff", 3, PageOptions(), 72) as handle:
            assert await handle.call("size") == (30, 20)

    with running() as pool:
        asyncio.run(run(pool))
        assert pool.inspect(secret, PDF, "sesame").encrypted
        assert pool.inspect(tiff, "image/tiff").page_count == 3
        with pytest.raises(PasswordRequired):
            pool.inspect(secret, PDF)
        with pytest.raises(PasswordIncorrect):
            pool.inspect(secret, PDF, "wrong")


def test_a_new_file_under_an_old_path_is_not_the_old_document(source):
    with running() as pool:
        assert pool.inspect(source, PDF).page_count == 8
        fresh = source.with_suffix(".new")
        fresh.write_bytes(files.pdf(2))
        fresh.replace(source)
        assert pool.inspect(source, PDF).page_count == 2


# --- errors are values ---


def test_errors_arrive_as_what_they_are(source, tmp_path):
    huge = tmp_path / "huge.pdf"
    huge.write_bytes(files.huge_page_pdf())
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(files.truncated_pdf())
    with running() as pool:
        with pytest.raises(PageTooLarge) as caught:
            call(pool, huge, "size")
        assert caught.value.limit == pool.limits.max_page_pixels
        with pytest.raises(PageRenderFailed):
            call(pool, source, "size", number=9)
        with pytest.raises(PageRenderFailed):
            call(pool, broken, "size")
        with pytest.raises(CorruptFile):
            pool.inspect(broken, PDF)
        with pytest.raises(StorageUnavailable):
            call(pool, tmp_path / "gone.pdf", "size")
        with pytest.raises(EngineError, match="ValueError: no such thing"):
            call(pool, source, "raise_value_error")
        with pytest.raises(EngineError, match="cannot be sent"):
            call(pool, source, "unpicklable")
        assert call(pool, source, "size") == (298, 421)


# --- pages that harm ---


def test_a_page_that_hangs_is_killed_and_its_neighbours_never_notice(source, tmp_path):
    async def run(pool):
        neighbour, guilty = page(pool, source, 1), page(pool, source, 2)
        before = await neighbour.call("pid")
        with pytest.raises(PageTimeout) as caught:
            await guilty.call("hang")
        assert caught.value.limit == 1.0
        assert caught.value.retryable
        assert await neighbour.call("size") == (298, 421)
        assert await neighbour.call("pid") != before
        assert not psutil.pid_exists(before)
        await neighbour.release()
        await guilty.release()

    with running(page_timeout=1.0) as pool:
        asyncio.run(run(pool))


def test_a_hang_in_c_code_with_the_lock_held_is_killed_too(source, tmp_path):
    with running(page_timeout=1.0) as pool, pytest.raises(PageTimeout):
        call(pool, source, "hang_in_c", str(tmp_path / "started"))


def test_waiting_for_a_turn_is_not_part_of_the_deadline(source, tmp_path):
    async def run(pool):
        go = tmp_path / "go"
        first, second = page(pool, source, 1), page(pool, source, 2)
        slow = asyncio.ensure_future(first.call("wait_for", str(tmp_path / "started"), str(go)))
        await until_async((tmp_path / "started").exists)
        waits = asyncio.ensure_future(second.call("wait_for", str(tmp_path / "again"), str(go)))
        await asyncio.sleep(1.2)  # the two turns together take longer than one may
        go.touch()
        assert await asyncio.gather(slow, waits) == ["went", "went"]
        await first.release()
        await second.release()

    with running(page_timeout=2.0) as pool:
        asyncio.run(run(pool))


def test_a_segfault_fails_its_page_after_a_second_try_and_no_other(source):
    async def run(pool):
        handles = [page(pool, source, number) for number in range(1, 6)]
        results = await asyncio.gather(
            *(handle.call("segfault" if handle.number == 3 else "size") for handle in handles), return_exceptions=True
        )
        assert isinstance(results.pop(2), PageRenderFailed)
        assert results == [(298, 421)] * 4
        for handle in handles:
            await handle.release()

    with running(processes=2, held_pages=5) as pool:
        asyncio.run(run(pool))


def test_the_error_of_a_crash_names_the_signal(source):
    with running() as pool, pytest.raises(PageRenderFailed, match="SIGSEGV"):
        call(pool, source, "segfault")


def test_a_page_whose_process_was_killed_by_somebody_else_is_read_again(source, tmp_path):
    with running() as pool:
        assert call(pool, source, "die_once", str(tmp_path / "mark")) == "survived"


def test_a_process_that_dies_idle_is_replaced_without_blame(source):
    async def run(pool):
        async with page(pool, source) as handle:
            victim = psutil.Process(await handle.call("pid"))
            victim.kill()
            until(lambda: victim.status() == psutil.STATUS_ZOMBIE)
            assert await handle.call("size") == (298, 421)

    with running() as pool:
        asyncio.run(run(pool))


def test_memory_ends_in_the_page_and_the_process_lives_on(source):
    async def run(pool):
        async with page(pool, source) as handle:
            before = await handle.call("pid")
            with pytest.raises(PageRenderFailed) as caught:
                await handle.call("allocate")
            assert caught.value.limit == 64 * MIB
            assert await handle.call("pid") == before

    with running(render_memory=64 * MIB) as pool:
        asyncio.run(run(pool))


def test_a_process_that_leaked_is_replaced_and_the_page_does_not_pay(source):
    async def run(pool):
        async with page(pool, source) as handle:
            before = await handle.call("pid")
            await handle.call("leak", 40 * MIB)
            assert await handle.call("need", 40 * MIB) == 40 * MIB
            assert await handle.call("pid") != before

    with running(render_memory=64 * MIB) as pool:
        asyncio.run(run(pool))


def test_the_parent_watches_where_the_child_is_not_limited(source):
    with running(render_memory=64 * MIB, max_page_pixels=200_000) as pool:
        with pytest.raises(PageRenderFailed) as caught:
            call(pool, source, "allocate_unlimited")
        assert caught.value.limit == 64 * MIB
        assert caught.value.actual > 64 * MIB
        assert call(pool, source, "size") == (298, 421)


def test_an_abort_for_want_of_memory_is_no_crash_and_is_not_tried_again(tmp_path):
    # pdfium ends its process where an allocation fails. A gigabyte of blanks used to be called a crash and to be
    # unpacked a second time for that.
    path = tmp_path / "bomb.pdf"
    path.write_bytes(nested_flate_bomb())
    with running(render_memory=256 * MIB) as pool:
        before = {child.pid for child in children()}

        async def main():
            async with pool.page(path, PDF, 1, PageOptions(), 72) as page:
                return await page.call("size")

        with pytest.raises(PageRenderFailed) as caught:
            asyncio.run(main())
        assert caught.value.limit == 256 * MIB
        assert caught.value.actual > 256 * MIB // 3
        until(lambda: len(children()) == 1)
        assert before.isdisjoint(child.pid for child in children())


def test_an_abort_in_a_process_that_had_leaked_is_tried_again(source, tmp_path):
    # The memory that the page could not get was another's: it must not pay for that.
    async def run(pool):
        async with page(pool, source) as handle:
            await handle.call("leak", 100 * MIB)
            return await handle.call("grow_and_abort_once", 100 * MIB, str(tmp_path / "mark"))

    with running(render_memory=256 * MIB) as pool:
        assert asyncio.run(run(pool)) == f"survived with {100 * MIB}"


def test_a_document_that_hangs_while_it_is_opened_misses_its_deadline(source, tmp_path):
    """A fifo stands for a source that never answers; the open in the process blocks in the kernel."""
    fifo = tmp_path / "fifo.pdf"
    os.mkfifo(fifo)
    with running(split_timeout=1.0) as pool:
        with pytest.raises(DeadlineExceeded):
            pool.inspect(fifo, PDF)
        assert pool.inspect(source, PDF).page_count == 8


# --- cancelling, closing, starting ---


def test_a_cancelled_call_that_waits_never_runs_and_one_that_runs_is_forgotten(source, tmp_path):
    log = tmp_path / "log"

    async def run(pool):
        go = tmp_path / "go"
        running_page, waiting = page(pool, source, 1), page(pool, source, 2)
        runs = asyncio.ensure_future(running_page.call("wait_for", str(tmp_path / "started"), str(go)))
        await until_async((tmp_path / "started").exists)
        waits = asyncio.ensure_future(waiting.call("log", str(log)))
        await asyncio.sleep(0)
        runs.cancel()
        waits.cancel()
        await asyncio.gather(runs, waits, return_exceptions=True)
        assert runs.cancelled()
        assert waits.cancelled()
        await running_page.release()
        await waiting.release()
        go.touch()
        async with page(pool, source, 3) as handle:
            await handle.call("log", str(log))

    with running() as pool:
        asyncio.run(run(pool))
    assert log.read_text().split() == ["3"]


def test_close_ends_what_runs_and_what_waits(source, tmp_path):
    pool = RenderPool(1, HALF, EngineSettings(), limits(), held_pages=1)
    pool.start()

    async def run():
        handles = [page(pool, source, number) for number in (1, 2)]
        calls = [asyncio.ensure_future(handle.call("hang", str(tmp_path / f"{handle.number}"))) for handle in handles]
        await until_async((tmp_path / "1").exists)
        with ThreadPoolExecutor(1) as thread:
            inspection = thread.submit(pool.inspect, source, PDF)
            until(lambda: pool.inspections)
            await asyncio.to_thread(pool.close)
            assert isinstance(inspection.exception(), EngineUnavailable)
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, EngineUnavailable)

    asyncio.run(run())
    assert not children()
    pool.close()
    with pytest.raises(EngineUnavailable):
        pool.inspect(source, PDF)


def test_processes_start_while_sockets_have_a_timeout_by_default(source):
    """As Celery sets one for the whole process while it shuts down, with pages still being read."""
    socket.setdefaulttimeout(5.0)
    try:
        with running() as pool:
            assert call(pool, source, "size") == (298, 421)
    finally:
        socket.setdefaulttimeout(None)


def test_a_page_half_that_cannot_start_says_why():
    for half, reason in (
        ("tests.page_halves:NoStart", "the model file is missing"),
        ("tests.page_halves:DiesAtStart", "SIGKILL"),
        ("tests.page_halves:Nothing", "AttributeError"),
        ("no.such.module:Half", "ModuleNotFoundError"),
    ):
        pool = RenderPool(2, half, EngineSettings(), limits())
        with pytest.raises(EngineUnavailable, match=reason):
            pool.start()
        assert not children()


def test_a_page_half_that_cannot_start_again_ends_the_pool(source, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.render.slot._RESTART_PAUSE", 0.01)
    card = tmp_path / "card"
    card.touch()
    with running(half="tests.page_halves:StartsOnce", device=str(card)) as pool:
        card.unlink()
        with pytest.raises(EngineUnavailable, match="the card fell off the bus"):
            call(pool, source, "segfault")
        with pytest.raises(EngineUnavailable, match="the card fell off the bus"):
            pool.inspect(source, PDF)


def test_a_pool_without_a_page_half_opens_documents(source):
    with running(half=None) as pool:
        assert pool.inspect(source, PDF).page_count == 8


def test_many_threads_may_inspect_at_once(source):
    with running(processes=2) as pool, ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(lambda _: pool.inspect(source, PDF).page_count, range(40)))
    assert counts == [8] * 40


def test_a_render_process_imports_neither_the_queue_nor_the_database(source):
    with running() as pool:
        modules = set(call(pool, source, "modules"))
    assert modules.isdisjoint({"celery", "kombu", "sqlalchemy", "sqlmodel", "boto3", "fastapi", "pytest"})


def test_chaos_of_all_faults_loses_no_page(source, tmp_path):
    """Forty pages of which some hang, crash or explode: each gets its own answer and every other its size."""
    expected = {3: PageTimeout, 7: PageRenderFailed, 11: PageRenderFailed}
    methods = {3: "hang", 7: "segfault", 11: "allocate"}

    async def read(pool, index):
        async with page(pool, source, index % 8 + 1) as handle:
            await handle.call("size")
            result = await handle.call(methods.get(index, "size"))
            assert await handle.call("size") == result
            return result

    async def run(pool):
        return await asyncio.gather(*(read(pool, index) for index in range(40)), return_exceptions=True)

    with running(processes=2, page_timeout=2.0, render_memory=64 * MIB) as pool:
        results = asyncio.run(run(pool))
    for index, result in enumerate(results):
        if index in expected:
            assert type(result) is expected[index]
        else:
            assert result == (298, 421)


# --- a worker that is killed ---

_WORKER = """
import asyncio, sys, threading
from pathlib import Path
from jobs.options import PageOptions
from jobs.settings import EngineSettings, LimitSettings
from workers.render.pool import RenderPool

raise_if_run_again = open(sys.argv[1] + ".main", "x")   # a main module that must not be imported by its children
pool = RenderPool(2, "tests.page_halves:Faulty", EngineSettings(), LimitSettings())
pool.start()

async def run():
    pages = [pool.page(Path(sys.argv[1]), "application/pdf", number, PageOptions(), 36) for number in (1, 2)]
    await asyncio.gather(*(
        page.call("hang_in_c" if page.number == 1 else "hang", f"{sys.argv[1]}.{page.number}") for page in pages
    ))

asyncio.run(run())
"""


def test_children_of_a_killed_worker_die_even_inside_c_code(source, tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(_WORKER)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen([sys.executable, str(script), str(source)], env=environment)
    started = [Path(f"{source}.{number}") for number in (1, 2)]
    try:
        until(lambda: all(path.exists() and path.read_text() for path in started))
        pids = [int(path.read_text()) for path in started]
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    until(lambda: all(gone(pid) for pid in pids))


def test_ctrl_c_and_sigterm_are_for_the_parent(source):
    async def run(pool):
        async with page(pool, source) as handle:
            pid = await handle.call("pid")
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
            assert await handle.call("pid") == pid

    with running() as pool:
        asyncio.run(run(pool))


def test_no_thread_is_left_by_a_closed_pool(source):
    with running(processes=2) as pool:
        pool.inspect(source, PDF)
        assert any(thread.name.startswith("render-") for thread in threading.enumerate())
    assert not any(thread.name.startswith("render-") for thread in threading.enumerate())


# --- one page to a file ---


def render_command(*arguments, password=b"", **environment):
    return subprocess.run(
        [sys.executable, "-m", "workers.render", *map(str, arguments)],
        input=password, capture_output=True, cwd=ROOT, env={**os.environ, **environment}, timeout=60,
    )  # fmt: skip


def test_the_command_renders_a_page_to_a_jpeg(tmp_path):
    from PIL import Image

    secret, out = tmp_path / "secret.pdf", tmp_path / "page.jpg"
    secret.write_bytes(files.encrypted_pdf("sesame", pages=2))
    arguments = ("--path", secret, "--media-type", PDF, "--page", 2, "--dpi", 72, "--out", out)
    done = render_command(*arguments, password=b"sesame\n")
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(out) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (595, 842)
        assert picture.info["dpi"] == (72, 72)
    done = render_command(*arguments, "--max-pixels", 10_000, password=b"sesame")
    assert done.returncode == 1
    refused = render_command(*arguments, password=b"wrong")
    assert refused.returncode == 1
    assert b'"code":"password_incorrect"' in refused.stderr.splitlines()[-1]


def test_the_command_ends_at_its_deadline(tmp_path):
    fifo = tmp_path / "fifo.pdf"
    os.mkfifo(fifo)
    done = render_command(
        "--path", fifo, "--media-type", PDF, "--page", 1, "--dpi", 72, "--out", tmp_path / "out.jpg",
        PAGEMILL_PAGE_TIMEOUT="2",
    )  # fmt: skip
    assert done.returncode == -signal.SIGALRM


def test_the_command_keeps_its_memory_limit(tmp_path):
    from PIL import Image

    picture = tmp_path / "large.png"
    picture.write_bytes(files.encoded(Image.new("RGB", (8000, 4000)), "PNG"))
    done = render_command(
        "--path", picture, "--media-type", "image/png", "--page", 1, "--dpi", 72, "--out", tmp_path / "out.jpg",
        PAGEMILL_RENDER_MEMORY=str(64 * MIB),
    )  # fmt: skip
    assert done.returncode == 1
    assert b'"code":"page_render_failed"' in done.stderr.splitlines()[-1]
