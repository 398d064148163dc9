"""What benchmarks need beside this checkout. Each asks before it measures, so that nothing is measured in vain."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.bench.report import NotMeasured
from tests.testdata import TESTDATA


def documents() -> Path:
    """The folder of test documents. Raises NotMeasured where it is absent."""
    if TESTDATA is None:
        raise NotMeasured(
            "it reads the test documents, which are no part of this repository: they belong in shared/testdata"
            " beside this checkout"
        )
    return TESTDATA


def programs(package: str, *names: str) -> None:
    """Raises NotMeasured where one of them is not on the PATH; `package`: what a distribution calls them together."""
    lacking = [name for name in names if shutil.which(name) is None]
    if lacking:
        raise NotMeasured(f"{' and '.join(lacking)} not found: install {package}")
