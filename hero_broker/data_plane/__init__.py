"""Routes in providers' shapes: request bodies become calls, calls become responses and ledger rows."""
