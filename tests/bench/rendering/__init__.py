"""B5: rendering against pdftoppm and PyMuPDF, and what of our time is neither pdfium's parsing nor its drawing.

samples.py    the documents: born-digital and scanned, from ../shared/testdata/public
ours.py       a `RenderPool` asked as an engine asks it
others.py     pdftoppm and PyMuPDF on the same files
draw.py       PyMuPDF's side, run in its own environment
halves.py     page halves for ours.py: one that only renders, one whose steps are measured
stopwatch.py  CPU time by step, each without the steps inside it
run.py        rounds, rows, tables
"""
