"""What a unit costs, and what a call cost."""
