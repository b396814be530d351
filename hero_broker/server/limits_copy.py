"""Keeps a copy of the limits that were set while brokers ran, in the state directory, for a start without the database.

Without it, these limits would bound nobody until the database answers.
"""

import logging
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from hero_broker.core.limits import Grant, LimitDefinition
from hero_broker.limits.definitions import Definitions, Revision
from hero_broker.reports.limit_book import LimitBook
from hero_broker.util.once_per_minute import OncePerMinute
from hero_broker.util.whole_files import write_whole

NAME = "limits.json"
MODE = 0o600

log = logging.getLogger(__name__)


class _Copy(msgspec.Struct, frozen=True):
    revision: Revision
    limits: tuple[LimitDefinition, ...]
    grants: tuple[Grant, ...]


class LimitsCopy:
    """Reads what a `LimitBook` has, and keeps a copy of it."""

    def __init__(self, book: LimitBook, state_dir: Path) -> None:
        self._book = book
        self._path = state_dir / NAME
        self._written: Revision | None = None
        self._warnings = OncePerMinute()

    def current(self, connection: Connection) -> Definitions:
        """Return what a transaction sees; write it to the copy if it has changed. Blocks; not for the event loop."""
        definitions = self._book.current(connection)
        if definitions.revision != self._written:
            self._write(definitions)
        return definitions

    def kept(self) -> Definitions | None:
        """Return what the copy has; None without a copy that can be read. Blocks; not for the event loop."""
        try:
            copy = msgspec.json.decode(self._path.read_bytes(), type=_Copy)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("limits: the copy %s cannot be read: %s", self._path, error)
            return None
        return self._book.usable(copy.revision, copy.limits, copy.grants)

    def _write(self, definitions: Definitions) -> None:
        copy = _Copy(definitions.revision, definitions.defined, definitions.granted)
        try:
            write_whole(self._path, msgspec.json.encode(copy), MODE)
        except OSError as error:
            if self._warnings.is_due(NAME):
                log.warning("limits: the copy %s cannot be written: %s", self._path, error.strerror)
        else:
            self._written = definitions.revision
