"""The domain of pagemill: jobs, documents, pages. No HTTP, no PDF, no GPU."""
