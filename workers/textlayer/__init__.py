"""A page's own text, as a PDF carries it: values and rules that know neither pdfium nor any engine.

glyphs.py     what is written where: the values that cross from the render process's pdfium to an engine's page half
sight.py      which glyphs somebody who looks at the page can see
encoding.py   glyphs to characters: ligatures, hyphens, private codes, and which of them mean nothing
lines.py      glyphs to lines of text, with the spaces that nobody wrote
direction.py  lines of right-to-left scripts, from the order they are seen in to the order they are read in

The glyphs are read by workers/render/textlayer.py. Whether a layer can be trusted is decided beside the engine, which
has eyes for it (workers/engines/rapidocr/layer.py).
"""
