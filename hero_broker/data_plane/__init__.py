"""OpenAI-shaped routes: request bodies become calls, calls become responses and ledger rows."""
