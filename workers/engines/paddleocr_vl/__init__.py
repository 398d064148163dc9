"""PaddleOCR-VL: a page to regions, regions to crops, crops to text, text to blocks.

What needs neither a model nor a GPU library; values of the pipeline are those of PaddleX 3.7.2 (docs/paddleocr-vl.md
tells where we differ). In the order in which a page meets them:

    versions.py       what differs between 1.0, 1.5 and 1.6
    regions.py        Box, Region: what the layout model found
    layout_boxes.py   rows of the layout model -> regions in reading order
    polygons.py       masks and polygons of regions (imports cv2)
    overlaps.py       regions that lie over each other
    stacking.py       text regions that are read as one image
    plan.py           regions -> PagePlan: blocks, and the crops to be read
    tokens.py         figures inside tables, painted over with [F2]
    resize.py         smart_resize and lasting_size: the sizes that the model takes
    scaling.py        a crop at that size, as Pillow filters it (imports cv2)
    crops.py          pixels of a page -> the crops of a plan, and figures as JPEG
    prompts.py        what the model is asked
    repetition.py  formula.py  otsl.py  spotting.py    what it answers, set right
    answers.py        an answer -> the content of a block
    blocks.py         plan and answers -> PageResult
    markdown.py       blocks -> Markdown as PaddleX writes it
    html_tables.py  table_merge.py  title_levels.py  restructure.py    what concerns several pages
"""
