"""What speaks to people and programs: HTTP and the command line."""
