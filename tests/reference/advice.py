"""What docs/errors.md says beside the code of an error or warning: what a user does about it."""

from __future__ import annotations

ERRORS: dict[str, str] = {
    "invalid_request": "Correct what `where` names: a field, parameter, header or setting. At the start of a"
    " process: the setting.",
    "unauthorized": "Send `Authorization: Bearer pm_…` with a key that was not revoked ([keys.md](keys.md)).",
    "forbidden": "Use a key with the scope that `detail` names. A page in a browser on another site is refused always.",
    "not_found": "Check the id and the key: the jobs of other keys do not exist for yours.",
    "method_not_allowed": "See `/v1/openapi.json` for what the path takes.",
    "not_acceptable": "Ask for one of the formats that `detail` lists.",
    "result_not_ready": "Ask again after `Retry-After`, or wait for the end ([following.md](following.md)).",
    "gone": "Nothing: it was deleted, by a request or when its retention was over. Submit it again.",
    "upload_incomplete": "Send it again. Where it comes again: a proxy or client cuts bodies, or nothing was sent for"
    " `PAGEMILL_API_IDLE_TIMEOUT`.",
    "idempotency_mismatch": "Use a new `Idempotency-Key` for a new request.",
    "rate_limited": "Wait for `Retry-After`; the operator sets the key's limit.",
    "queue_full": "Wait for `Retry-After`, until earlier jobs have ended; the operator sets the key's limit.",
    "file_too_large": "Split the file, or have `PAGEMILL_MAX_FILE_BYTES` or the key's limit raised.",
    "unsupported_type": "Convert it: PDF, PNG, JPEG, TIFF, WebP, GIF, BMP, and HEIC where it is installed. The"
    " first bytes count, not the name.",
    "empty_file": "The file has no bytes; look at what made it.",
    "corrupt_file": "Open it in a viewer. One that repairs on saving often makes it readable.",
    "password_required": "Submit it with the option `password`.",
    "password_incorrect": "Submit it with the right password.",
    "too_many_pages": "Split the document, select `pages`, or have `PAGEMILL_MAX_PAGES` raised.",
    "invalid_page_range": "Select pages that the document has: `actual` is their number.",
    "deadline_exceeded": "Retry with a later deadline, or find out what was slow ([tuning.md](tuning.md)). Pages"
    " that were read are kept.",
    "source_unreachable": "See that the URL answers from the workers' network, then retry.",
    "source_forbidden": "The address is not public, or the key was not granted the bucket: `detail` says which"
    " ([submitting.md](submitting.md)).",
    "source_changed": "Submit the new object: another one lies there than the job named.",
    "output_forbidden": "Name a prefix that the key was granted, outside of pagemill's own bucket.",
    "quota_exceeded": "Retry after midnight UTC, or have the key's pages a day raised.",
    "page_too_large": "The page would be below 36 dpi within `PAGEMILL_MAX_PAGE_PIXELS`, or its image claims more"
    " pixels than can be decoded.",
    "page_timeout": "Tried again by itself; then look at the page, or have `PAGEMILL_PAGE_TIMEOUT` raised.",
    "page_render_failed": "The page is damaged, or needs more than `PAGEMILL_RENDER_MEMORY`: `detail` says which.",
    "page_crashed": "The page ended what read it `PAGEMILL_MAX_CRASHES` times while it was alone in it.",
    "text_layer_missing": "With `text: layer` only born-digital pages can be read; use `auto` or `ocr`.",
    "engine_error": "Tried again by itself; then see the worker's log for this page.",
    "internal_error": "A defect: see the log of the process that answered. On a page: its reason was not written down.",
    "engine_unavailable": "The engine does not start or its servers do not answer: the worker's log says why"
    " ([vllm.md](vllm.md)).",
    "storage_unavailable": "Nothing is lost; what waits goes on when the object store is back.",
    "storage_full": "Make room in the object store or on its disk; what waits goes on by itself.",
    "database_unavailable": "Nothing is lost; what waits goes on when the database is back.",
    "not_pagemill": "Only the command says so: `PAGEMILL_URL` leads to another server, or to a proxy's own page.",
    "server_unreachable": "Only the command says so: see that `PAGEMILL_URL` is right and a server runs there.",
}

WARNINGS: dict[str, tuple[str, str]] = {
    "output_truncated": ("An answer was longer than allowed, or repeated itself without end, and was cut.",
        "Raise `max_new_tokens` where the block is really that long."),
    "block_unread": ("One block of the page could not be read; the others are there.",
        "Look at the block; `detail` says why."),
    "low_confidence": ("The engine is unsure of what it read.", "Look at the page; render it with more `dpi`."),
    "page_scaled_down": ("The page had more pixels than `PAGEMILL_MAX_PAGE_PIXELS` and was rendered smaller.",
        "Ask for fewer `dpi`, or have the limit raised."),
    "password_not_needed": ("A password was given and the document opens without one.", "Leave it out."),
    "figure_skipped": ("Reserved; nothing gives it at present.", "Nothing."),
    "hidden_text": ("Text of the layer that nobody sees on the page was left out.", "Nothing, as a rule."),
    "text_layer_doubtful": ("The page's text layer was not trusted; its pixels were read instead.",
        "Nothing; `detail` says what was wrong with it."),
    "unsupported_script": ("The page has lines in a script that the model does not read; they are missing.",
        "Use another recognition model ([install.md](install.md)) or `paddleocr_vl`."),
}  # fmt: skip
