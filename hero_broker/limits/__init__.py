"""Bounds what callers may use: which limits match a call, and whether each of them still has room."""
