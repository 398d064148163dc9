"""The whole service around engines, against those engines alone: B1 and B2."""
