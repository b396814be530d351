"""Measures the duration of uploaded audio, for usage that no provider reported: one module for each container."""
