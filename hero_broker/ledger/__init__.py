"""The write path: rows enter the journal, and a writer thread moves them to the database."""
