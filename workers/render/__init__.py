"""Rendering in killable subprocesses: `pool.RenderPool` in the worker, `process.main` in each of its children.

pool.py       the worker's side: which process does what next, what a death means for whom
child.py      one render process as its parent sees it: spawn, ask, kill
clock.py      kills what is over its deadline or its memory
messages.py   what crosses between the two
process.py    the child's main loop
documents.py  opening and rendering: PDF (pypdfium2)
images.py     opening and rendering: PNG, JPEG, WebP, BMP, GIF, TIFF (Pillow)
confine.py    what a render process does to itself: memory limit, dying with its parent
__main__.py   one page to a JPEG file, for the API

Only documents.py imports pypdfium2 and only images.py and documents.py import Pillow; importing this package costs
nothing. pdfium is not thread-safe, crashes on some files and hangs on others: it never runs in the worker itself.
"""
