"""What burns CPU or GPU: the stages of a page's way, and the engines."""
