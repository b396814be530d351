"""Questions about what was billed, over JSON-RPC and REST."""
