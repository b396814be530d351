"""Prices per unit, and the cost of a call."""
