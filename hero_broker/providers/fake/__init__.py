"""A provider that answers every kind of call deterministically, to try the broker without a key or network.

A word is a token. Responses depend only on the request, and report exactly the usage that is billed.
"""
