"""Every SQL statement of pagemill."""
