"""The write path: rows enter the journal here, and a writer thread moves them to the database."""
