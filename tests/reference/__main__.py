"""`python -m tests.reference [--check]`."""

from __future__ import annotations

import sys

from tests.reference import stale, write


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m tests.reference [--check]\n")
        return 2
    check = arguments == ["--check"]
    names = stale() if check else write()
    for name in names:
        print("stale" if check else "wrote", f"docs/{name}")
    return 1 if check and names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
