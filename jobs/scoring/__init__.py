"""Scores of what was read against what stands on the page. Pure: strings and values in, numbers out.

    normalization.py  what counts as the same text: Unicode forms, quotes, line ends, hyphens, blanks
    reading.py        Markdown, HTML and page results as plain text and tables
    characters.py     character error rate; characters and words found, in whatever order
    order.py          how much of the text stands in the right order
    tables.py         HTML tables as trees; TEDS
    trees.py          edit distance of ordered trees
    score.py          one score of one page or document, and sums of many

It lies in `jobs` and not beside the command that shows it: what a result is worth is a question about results, and
needs neither HTTP nor a terminal. docs/quality.md explains the measures to users.
"""
