"""OpenAI-shaped routes: bodies become calls, calls become answers and bills."""
