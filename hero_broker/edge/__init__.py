"""Middleware and checks that every request passes before it is routed."""
