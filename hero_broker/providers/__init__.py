"""Providers: which one answers a call, how to reach it, and whether it works."""
