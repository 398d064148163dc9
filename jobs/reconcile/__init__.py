"""`pagemill reconcile`: whether rows, counters, stored objects and Redis agree, and mending where they do not.

It works beside a system that runs. Rows are compared with each other inside one statement, which is one snapshot; what
disagrees is looked at a second time before it is named; what only needs time (a ring, a rescue, a purge) is named when
it has had more than enough of it. docs/reconcile.md has the table.
"""
