"""The vocabulary of the broker; imports nothing of ours."""
