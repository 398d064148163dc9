"""The command `pagemill`."""
