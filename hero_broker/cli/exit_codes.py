"""Defines the exit codes of commands."""

FAILED, WRONG_USE, CANNOT_START = 1, 2, 3
