"""The database: schema, engine, statements."""
