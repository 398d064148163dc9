"""Why a file is not read, or its result not written, as a failure that the user is told."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from api.cli.plan import Failure
from jobs.errors import DocumentError, FileTooLarge, Problem
from jobs.media import SNIFF_BYTES, sniff


def refusal(path: Path, max_bytes: int) -> Failure | None:
    """Why a file would be refused at the door, by its size and first bytes: no engine is started to learn that."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "this is no regular file")
        with path.open("rb") as file:
            head = file.read(SNIFF_BYTES)
        if status.st_size > max_bytes:
            raise FileTooLarge(f"larger than {max_bytes} bytes", limit=max_bytes, actual=status.st_size)
        sniff(head, status.st_size)
    except DocumentError as error:
        return problem_failure(str(path), error.problem())
    except OSError as error:
        return os_failure(str(path), error)
    return None


def problem_failure(where: str, problem: Problem) -> Failure:
    return Failure(where, problem.code, problem.detail, problem.limit)


def os_failure(where: str, error: OSError, *, writing: bool = False) -> Failure:
    if writing:
        code = "output_forbidden"
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        code = "not_found"
    elif isinstance(error, PermissionError):
        code = "source_forbidden"
    else:
        code = "source_unreachable"
    return Failure(where, code, error.strerror or str(error))
