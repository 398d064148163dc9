"""`pagemill doctor`: what is wrong with an installation, and what to do about it (docs/doctor.md).

findings.py holds the table of everything that can be found; a check (checks.py) is a name, the findings it answers for,
and a function that yields them; run.py runs all of them side by side, each under a time limit of its own. Nothing here
writes anything but probes, which are removed again.
"""
