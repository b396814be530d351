"""Upstreams: who answers a call, and how to reach them."""
