"""Imports what a command imports while it starts and runs, once for all that `tests/forked.py` forks."""

import gc

from sqlalchemy import make_url

from hero_broker.cli.main import COMMANDS, load_command

for _command in COMMANDS:
    load_command(_command)
load_command(COMMANDS[0]).make_context(COMMANDS[0].name, [])  # typer imports pydantic when it first parses options
for _url in ("sqlite://", "postgresql+psycopg://"):
    make_url(_url).get_dialect().import_dbapi()
gc.freeze()  # else a collection in a forked process copies all that it has from here
