"""Rendering in killable subprocesses: `pool.RenderPool` in the worker, `process.main` in each of its children.

pool.py       the worker's side: pages, their calls, the queue of those that have no process yet, the clock
lazy.py       a pool that is started by its first page
slot.py       one place in the pool: the thread that keeps a process there, feeds it, and judges its death
calls.py      one call: its future, its deadline, what each kind of death means for it
child.py      one render process as its parent sees it: spawn, ask, kill
messages.py   what crosses between the two
wire.py       how it crosses
process.py    the child's main loop
confine.py    what a render process does to itself: memory limit, dying with its parent
rendering.py  what opening and rendering mean, whatever the format
documents.py  PDF, by pypdfium2
images.py     PNG, JPEG, WebP, BMP, GIF, TIFF, by Pillow
heic.py       HEIC, taught to Pillow where its package is installed
__main__.py   one page to a JPEG file, for the API

Only documents.py imports pypdfium2; it, images.py and rendering.py import Pillow; pool.py and what it needs import
neither. pdfium is not thread-safe, crashes on some files and hangs on others: it never runs in the worker itself.
"""
