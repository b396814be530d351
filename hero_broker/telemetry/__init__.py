"""What the program tells those who watch it."""
