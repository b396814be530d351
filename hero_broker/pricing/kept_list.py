"""The price lists that an operator gives to a broker: the one that is kept in its state directory, or a file."""

import errno
import hashlib
import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from hero_broker.core.errors import PriceListUnreadable
from hero_broker.core.inventory import MAX_PRICE_LIST_BYTES
from hero_broker.pricing.genai_data.published import UnreadableList, read_published
from hero_broker.pricing.genai_prices import GenaiPrices, installed_version
from hero_broker.util.private_files import FILE_MODE
from hero_broker.util.whole_files import write_whole

FILE = "price-list.json"  # in the state directory
MAX_KEPT_BYTES = 6 * MAX_PRICE_LIST_BYTES + 1000  # of that file: JSON may write a character as six
HASH_DIGITS = 12  # of the list's SHA-256, in its version

log = logging.getLogger(__name__)


class KeptList(msgspec.Struct, frozen=True):
    """A list as genai-prices publishes it, and when the broker got it."""

    taken_at: int  # unix seconds, UTC
    installed: str  # the version of the package that was installed then
    sha256: str  # of the content
    content: str

    @classmethod
    def take(cls, content: bytes, taken_at: int) -> Self:
        """Return the list that a broker gets now.

        Raises:
            UnreadableList: the content is not UTF-8.
        """
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise UnreadableList("it is not UTF-8") from error
        return cls(taken_at, installed_version(), hashlib.sha256(content).hexdigest(), text)

    def prices(self) -> GenaiPrices:
        """Parse the list.

        Raises:
            UnreadableList: it is no price list.
        """
        day = datetime.fromtimestamp(self.taken_at, UTC).date()
        version = f"of {day.isoformat()}, SHA-256 {self.sha256[:HASH_DIGITS]}"
        return GenaiPrices(read_published(self.content.encode()), version, self.taken_at)

    def save(self, state_dir: Path) -> None:
        """Write the list for the next start; a list that was kept before is replaced.

        Raises:
            OSError: the file cannot be written; the one before is unchanged.
        """
        write_whole(state_dir / FILE, msgspec.json.encode(self), FILE_MODE)


def forget_list(state_dir: Path) -> None:
    """Remove the kept list, so that the installed one is in force at the next start.

    Raises:
        OSError: the file cannot be removed.
    """
    (state_dir / FILE).unlink(missing_ok=True)


def load_list(state_dir: Path, file: Path | None, now: int, *, is_start: bool = False) -> GenaiPrices | None:
    """Return the list that is kept for a broker, else that of `file`; None if the installed one is in force.

    With `is_start`, the log has the list, and a warning if the installed package has been updated since it was kept.

    Raises:
        PriceListUnreadable: the list cannot be read, or is damaged. The installed list is not used in its place: calls
            would silently cost something else.
    """
    kept = _load_kept(state_dir)
    try:
        if kept is not None:
            prices = kept.prices()
        elif file is not None:
            prices = read_list(file, now).prices()
        else:
            return None
    except UnreadableList as error:
        path = file if kept is None else state_dir / FILE
        raise PriceListUnreadable(_message(path, str(error), is_kept=kept is not None)) from error
    if is_start:
        log.info("prices: the list in force is genai-prices %s, not the installed one", prices.version)
        if kept is not None and kept.installed != installed_version():
            log.warning(
                "prices: genai-prices %s was installed since, and is not in force; take it with: hero-broker prices "
                "refresh",
                installed_version(),
            )
    return prices


def read_list(file: Path, now: int) -> KeptList:
    """Read the list of a file that the settings name.

    Raises:
        UnreadableList: the file cannot be read, is too long, or is not UTF-8.
    """
    try:
        content = _read_regular(file, MAX_PRICE_LIST_BYTES)
    except OSError as error:
        raise UnreadableList(error.strerror or "unreadable") from error
    return KeptList.take(content, now)


def _read_regular(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file; a pipe or a device could hold up the start or a refresh forever.

    Raises:
        OSError: the file cannot be read, is no regular one, or has more than `max_bytes`.
    """
    # Without O_NONBLOCK, opening a pipe waits until a program writes to it.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(fd, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1)
    finally:
        os.close(fd)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes")
    return content


def _load_kept(state_dir: Path) -> KeptList | None:
    path = state_dir / FILE
    try:
        content = _read_regular(path, MAX_KEPT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PriceListUnreadable(_message(path, error.strerror or "unreadable", is_kept=True)) from error
    try:
        kept = msgspec.json.decode(content, type=KeptList)
    except msgspec.MsgspecError as error:
        raise PriceListUnreadable(_message(path, str(error), is_kept=True)) from error
    if hashlib.sha256(kept.content.encode()).hexdigest() != kept.sha256:
        raise PriceListUnreadable(_message(path, "its content does not have its SHA-256", is_kept=True))
    return kept


def _message(path: Path | None, reason: str, *, is_kept: bool) -> str:
    how = "remove the file to use that of the installed genai-prices" if is_kept else "billing.price_list names it"
    return f"the price list {path} cannot be used: {reason}; {how}"
