"""`python -m jobs.schemas [--check]`."""

from __future__ import annotations

import sys

from jobs.schemas import stale, write


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m jobs.schemas [--check]\n")
        return 2
    check = arguments == ["--check"]
    paths = stale() if check else write()
    for path in paths:
        sys.stdout.write(f"{'stale' if check else 'wrote'} {path.name}\n")
    return 1 if check and paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
