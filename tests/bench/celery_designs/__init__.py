"""Ordinary Celery designs of batch OCR, as people write them from Celery's docs; what pagemill is measured against.

Each is an app module that its worker loads: `pages`, `batches`, `chunks`. They import nothing of pagemill but the model
of the engine, since they run in environments of their own. Variables of the environment say where everything is.
"""
