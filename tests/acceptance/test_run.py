"""`pagemill run`: the real command with the echo engine."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.results import DocumentResult
from tests.acceptance.command import TIMEOUT, Place, argv, page_states
from tests.processes import wait_until
from tests.testdata import document

SLOW = '{"echo": {"seconds": {"*": 600}}}'


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, {"PAGEMILL_ENGINE": "echo", "PAGEMILL_TIME_FACTOR": "20"})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def counts(summary: dict[str, dict[str, int]]) -> dict[str, int]:
    return {state: count for state, count in summary["documents"].items() if count}


def test_a_folder_becomes_text_and_a_second_run_has_nothing_to_do(place):
    place.put_pdf("in/a.pdf", pages=3)
    place.put_pdf("in/sub/deep/b.pdf", width=300)
    (place.path / "in/notes.txt").write_text("no document")
    first = place.run("run", "in", "-o", "out")
    assert first.returncode == 0, first
    assert "2 documents read, 4 pages" in first.stdout
    assert "notes.txt" in first.stdout
    assert files(place.path / "out") == ["a.pdf.json", "a.pdf.md", "sub/deep/b.pdf.json", "sub/deep/b.pdf.md"]
    assert (place.path / "out/a.pdf.md").read_text().split() == ["page", "1", "page", "2", "page", "3"]
    result = DocumentResult.model_validate_json((place.path / "out/a.pdf.json").read_bytes())
    assert (result.state, result.engine, result.source.pages) == ("succeeded", "echo", 3)
    assert list(place.temporary.iterdir()) == []
    assert place.processes() == []
    before = {path: path.stat().st_mtime_ns for path in (place.path / "out").rglob("*")}
    assert counts(place.json("run", "in", "-o", "out")) == {"done_before": 2, "skipped": 1}
    assert {path: path.stat().st_mtime_ns for path in (place.path / "out").rglob("*")} == before
    assert counts(place.json("run", "in", "-o", "out", "--force")) == {"succeeded": 2, "skipped": 1}
    after = DocumentResult.model_validate_json((place.path / "out/a.pdf.json").read_bytes())
    assert after.job_id != result.job_id


def test_only_what_changed_is_read_again(place):
    place.put_pdf("in/a.pdf")
    place.put_pdf("in/b.pdf", width=300)
    place.json("run", "in", "-o", "out")
    place.put_pdf("in/b.pdf", pages=2)
    assert counts(place.json("run", "in", "-o", "out")) == {"succeeded": 1, "done_before": 1}
    assert counts(place.json("run", "in", "-o", "out", "--pages", "1")) == {"succeeded": 2}
    assert (place.path / "out/b.pdf.md").read_text().split() == ["page", "1"]


def test_bad_files_fail_alone_and_are_tried_again(place):
    place.put_pdf("in/good.pdf")
    (place.path / "in/empty.pdf").write_bytes(b"")
    (place.path / "in/text.pdf").write_text("only text")
    cut = place.put_pdf("in/cut.pdf", pages=5, width=300)
    cut.write_bytes(cut.read_bytes()[:64])
    notes = place.path / "notes.txt"
    notes.write_text("named, so it was meant")
    done = place.run("run", "in", "notes.txt", "missing.pdf", "-o", "out")
    assert done.returncode == 1, done
    told = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    expected = [
        ("empty.pdf", "empty_file"),
        ("text.pdf", "unsupported_type"),
        ("cut.pdf", "corrupt_file"),
        ("notes.txt", "unsupported_type"),
        ("missing.pdf", "not_found"),
    ]
    assert len(told) == len(expected)
    for name, code in expected:
        assert any(f"{name}: {code}: " in line for line in told), (name, told)
    assert "Traceback" not in done.stdout + done.stderr
    assert files(place.path / "out") == ["in/good.pdf.json", "in/good.pdf.md"]
    place.put_pdf("in/empty.pdf", pages=2)
    for bad in ("in/text.pdf", "in/cut.pdf"):
        (place.path / bad).unlink()
    assert counts(place.json("run", "in", "notes.txt", "-o", "out", status=1)) == {
        "succeeded": 1, "done_before": 1, "failed": 1
    }  # fmt: skip


def test_files_that_no_engine_will_see_start_none(place):
    (place.path / "in").mkdir()
    (place.path / "in/empty.pdf").write_bytes(b"")
    (place.path / "in/text.pdf").write_text("only text")
    place.put_pdf("in/large.pdf", pages=20)
    # With these settings whatever is started ends the run: nothing was.
    (place.path / "a?b").mkdir()
    settings = {"PAGEMILL_MAX_FILE_BYTES": "1000", "TMPDIR": str(place.path / "a?b")}
    summary = place.json("run", "in", "-o", "out", status=1, **settings)
    assert summary["error"] is None
    assert sorted(failure["code"] for failure in summary["failures"]) == [
        "empty_file", "file_too_large", "unsupported_type",
    ]  # fmt: skip
    assert counts(summary) == {"failed": 3}
    place.put_pdf("in/good.pdf")
    assert "question mark" in place.json("run", "in", "-o", "out", status=1, **settings)["error"]["detail"]
    assert list((place.path / "a?b").iterdir()) == []


def test_a_failed_page_is_told_and_its_neighbours_are_written(place):
    place.put_pdf("in/a.pdf", pages=5)
    fault = json.dumps({"echo": {"faults": {"2": "fatal_error", "3": "fatal_error"}}})
    summary = place.json("run", "in", "-o", "out", "--options", fault, status=1)
    assert counts(summary) == {"partial": 1}
    assert summary["pages"] == {"read": 3, "failed": 2}
    [failure] = summary["failures"]
    assert (failure["code"], failure["pages"]) == ("page_render_failed", "2-3")
    assert "page 4" in (place.path / "out/a.pdf.md").read_text()
    # Not done: the same way of reading tries again.
    assert counts(place.json("run", "in", "-o", "out", "--options", fault, status=1)) == {"partial": 1}


def test_pages_that_cannot_be_read_well_are_told_and_are_no_failure(place):
    """A line of Cyrillic by the real CPU engine, whose model leaves its letters out."""
    (place.path / "in").mkdir()
    shutil.copy(document("public/RapidAI+RapidOCR/cyrillic.png"), place.path / "in/line.png")
    done = place.run("run", "in", "-o", "out", PAGEMILL_ENGINE="rapidocr")
    assert done.returncode == 0, done
    assert "1 document read" in done.stdout
    assert "doubtful: in/line.png page 1: unsupported_script: " in done.stdout.replace(f"{place.path}/", "")


def test_a_worker_that_dies_is_replaced_and_the_run_ends_well(place):
    place.put_pdf("in/a.pdf", pages=3)
    fault = json.dumps({"echo": {"faults": {"2": "crash_once"}}})
    done = place.run("run", "in", "-o", "out", "--options", fault, PAGEMILL_ECHO_STATE=str(place.path / "state"))
    assert done.returncode == 0, done
    assert "worker-0 ended by SIGKILL; it is started again" in done.stdout
    assert (place.path / "out/a.pdf.md").read_text().split() == ["page", "1", "page", "2", "page", "3"]


def test_equal_names_in_several_paths_stay_apart(place):
    place.put_pdf("2023/scans/x.pdf", pages=1)
    place.put_pdf("2024/scans/x.pdf", pages=2)
    assert counts(place.json("run", "2023/scans", "2024/scans", "-o", "out")) == {"succeeded": 2}
    assert "page 2" not in (place.path / "out/2023/scans/x.pdf.md").read_text()
    assert "page 2" in (place.path / "out/2024/scans/x.pdf.md").read_text()


def test_results_inside_the_folder_that_is_read_are_not_read_back(place):
    place.put_pdf("a.pdf")
    place.json("run", ".", "-o", "out")
    assert counts(place.json("run", ".", "-o", "out")) == {"done_before": 1}


def test_strange_names_are_no_obstacle(place):
    for name in ("in/a b#c?.pdf", "in/[bold]ü.pdf", "in/-o.pdf"):
        place.put_pdf(name)
    shutil.copy(place.path / "in/-o.pdf", place.path / os.fsdecode(b"in/\xff.pdf"))
    done = place.run("run", "in", "-o", "out")
    assert done.returncode == 0, done
    assert len(files(place.path / "out")) == 8


def test_more_documents_than_the_window_holds(place):
    first = place.put_pdf("in/0.pdf")
    for number in range(1, 150):
        shutil.copy(first, place.path / f"in/{number}.pdf")
    assert counts(place.json("run", "in", "-o", "out", "--workers", "2")) == {"succeeded": 150}
    assert len(files(place.path / "out")) == 300


def test_ctrl_c_ends_everything(place):
    place.put_pdf("in/a.pdf", pages=3)
    with place.started("run", "in", "-o", "out", "--options", SLOW) as run:
        wait_until(lambda: pages_running(place), "the pages to be in the engine")
        assert run.interrupt() == 130
        assert run.output.splitlines()[-1] == "stopped; run the same command again to go on"
        assert "Traceback" not in run.output
        assert place.processes() == []
    assert list(place.temporary.iterdir()) == []
    assert files(place.path / "out") == []


def test_after_kill_9_nothing_is_left_for_long(place):
    place.put_pdf("in/a.pdf", pages=3)
    with place.started("run", "in", "-o", "out", "--options", SLOW) as run:
        wait_until(lambda: pages_running(place), "the pages to be in the engine")
        run.process.kill()
        wait_until(lambda: not place.processes(), "the children to be gone")
    [left] = place.temporary.iterdir()
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    assert counts(place.json("run", "in", "-o", "out")) == {"succeeded": 1}
    assert list(place.temporary.iterdir()) == []


def test_a_setting_with_a_typo_is_told(place):
    place.put_pdf("in/a.pdf")
    done = place.run("run", "in", "-o", "out", PAGEMILL_ECHO_STAT="typo")
    assert done.returncode == 1
    assert done.stderr == "pagemill: invalid_request: unknown setting PAGEMILL_ECHO_STAT\n"
    assert place.processes() == []


def test_a_database_of_a_server_is_not_touched(place):
    """A run brings its own: on a machine with a server's settings it must not take part in its work."""
    place.put_pdf("in/a.pdf")
    done = place.run(
        "run", "in", "-o", "out",
        PAGEMILL_DATABASE_URL=f"sqlite:///{place.path}/server.db", PAGEMILL_BROKER_URL="redis://127.0.0.1:1/0",
        PAGEMILL_STORE_URL=f"file:{place.path}/server-objects", PAGEMILL_SLOT="gpu-0",
    )  # fmt: skip
    assert done.returncode == 0, done
    assert not (place.path / "server.db").exists()
    assert not (place.path / "server-objects").exists()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("run", "in"), "--out"),
        (("run", "in", "-o", "out", "--pages", "3-1"), "--pages"),
        (("run", "in", "-o", "out", "--engine", "none"), "--engine"),
        (("run", "in", "-o", "out", "--dpi", "9999"), "--dpi"),
        (("run", "in", "-o", "out", "--options", "{"), "--options"),
        (("run", "in", "-o", "out", "--options", '{"nonsense": 1}'), "there is no option 'nonsense'"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_wrong_usage_is_told_with_status_2(place, arguments, names):
    done = place.run(*arguments)
    assert done.returncode == 2
    assert names in done.stderr
    assert done.stdout == ""


def test_out_that_is_a_file_is_an_error(place):
    place.put_pdf("in/a.pdf")
    (place.path / "out").write_text("")
    done = place.run("run", "in", "-o", "out")
    assert (done.returncode, done.stderr) == (
        1,
        "pagemill: invalid_request: OUT cannot be written: File exists (out)\n",
    )


def test_bars_on_a_terminal(place):
    place.put_pdf("in/a.pdf", pages=40)
    (place.path / "in/empty.pdf").write_bytes(b"")
    seconds = '{"echo": {"seconds": {"*": 1}}}'
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        argv("run", "in", "-o", "out", "--options", seconds),
        cwd=place.path,
        env=place.environment() | {"TERM": "xterm-256color"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    seen = b"".join(iter(lambda: read(screen), b"")).decode()
    os.close(screen)
    assert process.wait(TIMEOUT) == 1
    assert "pages/s" in seen
    assert "a.pdf" in seen
    assert "/40" in seen
    assert "empty_file" in seen
    assert "1 document read, 40 pages" in seen


@pytest.mark.parametrize("name", [
    "run", "up", "submit", "status", "fetch", "cancel", "prioritize", "retry", "jobs", "pause", "resume", "drain",
    "api", "worker",
])  # fmt: skip
def test_every_command_shows_an_example(place, name):
    done = place.run(name, "--help")
    assert done.returncode == 0
    assert f"pagemill {name}" in done.stdout


def test_the_console_script(place):
    script = Path(sys.executable).with_name("pagemill")
    if not script.exists():
        pytest.skip("pagemill is not installed in this environment: pip install -e .")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=TIMEOUT, cwd=place.path)
    assert done.returncode == 0
    assert done.stdout.startswith("pagemill ")


def pages_running(place: Place) -> bool:
    """Whether a run has pages in its engine, by its own database."""
    return any(page_states(path).get("running") for path in place.temporary.glob("pagemill-run-*/pagemill.db"))


def read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # the other side is closed
        return b""
