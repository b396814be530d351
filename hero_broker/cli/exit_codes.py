"""How commands end."""

FAILED, WRONG_USE, CANNOT_START = 1, 2, 3
