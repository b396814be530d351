"""Sends calls to providers over HTTP; the only package that knows the client, aiohttp."""
