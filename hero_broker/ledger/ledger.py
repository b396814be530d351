"""Accepts rows without waiting, and moves them from the journal to the store in batches; loses none."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import msgspec

from hero_broker.core.duties import Duty
from hero_broker.core.errors import JournalFull, StoreUnavailable
from hero_broker.core.records import PriceRecord, RequestLog, StoredResponse
from hero_broker.ledger.journal import Journal
from hero_broker.ledger.recent_responses import RecentResponses
from hero_broker.ledger.rows import CallStarted, PendingRow

BATCH_ROWS = 500
GATHER_S = 0.05  # a transaction costs as much for one row as for a hundred, so wait for a few
# If that many rows have come by then, processor time is what matters: wait for a whole batch, but not much longer,
# because reports show a row within a second.
BUSY_ROWS, GATHER_BUSY_S = 25, 0.2
BACK_OFF_FIRST_S, BACK_OFF_MAX_S = 0.1, 5.0

CHECK_EVERY_S = 1.0  # how soon the writer notices that the store is gone or was replaced
# Folding goes in steps. The more rows a step has, the less each costs, but rows that arrive meanwhile wait for it, and
# SQLite's write-ahead log grows: after a step that took longer than FOLD_STEP_S, the next is smaller.
FOLD_ROWS, FOLD_ROWS_LEAST, FOLD_STEP_S = 20_000, 100, 0.5
FOLD_LATEST_S = 10.0  # a fold is delayed up to this long while a full batch waits
FOLD_EVERY_S = 2.0  # the longer a fold is delayed, the more single rows reports must add up
# Stored responses that have expired are removed in steps; while a step is full, the next follows a second later.
EXPIRE_EVERY_S, EXPIRE_ROWS = 60.0, 1_000


class Store(Protocol):
    """The store of rows; see `store.database`."""

    def append(
        self, rows: Sequence[RequestLog], prices: Sequence[PriceRecord], stored: Sequence[StoredResponse] = ()
    ) -> Mapping[str, str]:
        """Add rows, their prices and their `stored` responses in one transaction.

        Existing rows and prices are left as they are; a response with the same id and owner is replaced.

        Return why the store rejects a value of the others, by `request_id`.
        """
        ...

    def check(self) -> None:
        """Raise if the store could not take rows now."""
        ...

    def remove_responses(self, keys: Sequence[tuple[str, str]], expired_at: int, max_expired: int) -> int:
        """Remove stored responses, each given by its id and owner, and at most `max_expired` that have expired by then.

        Return how many of the latter were removed.
        """
        ...

    def fold(self, max_rows: int) -> int:
        """Fold about `max_rows` rows into the roll-ups; return how many, 0 if the roll-ups are up to date."""
        ...


log = logging.getLogger(__name__)


RECOVERED, NOWHERE = 0, -1  # in place of a segment's number: in those of earlier runs; the journal did not take the row


class _Waiting(msgspec.Struct, frozen=True):
    segment: int  # of the journal
    due: PendingRow
    since: float  # monotonic seconds
    reason: str = ""  # why the store rejects it


class Ledger:
    """Takes every row to the store: call `begin` before a call is made, and `offer` when it has ended.

    Both must be called in the same thread. A batch stays in the queue until the store has committed it. A row that the
    store rejects goes to `journal.rejected`, and waits in the journal while that cannot take it, so that it does not
    block the others.
    """

    def __init__(self, journal: Journal, store: Store) -> None:
        self._journal = journal
        self._store = store
        now = time.monotonic()
        self._due: deque[_Waiting] = deque(_Waiting(RECOVERED, due, now) for due in journal.recovered)
        self._unkept: list[_Waiting] = []  # rows that the store rejects and `journal.rejected` does not have yet
        self._recovered_left = len(self._due)
        self.responses = RecentResponses()
        for due in journal.recovered:
            if (response := due.stored_response()) is not None:
                self.responses.add(response)
        self._expire_at = self._remove_from = now
        self._arrived = threading.Event()  # a row, or closing
        self._gathered = threading.Event()  # the rows of a whole batch, or closing
        self._closing = threading.Event()
        self.storing = Duty("store", "rows are moved from the journal to the database")
        self.folding = Duty("rollups", "the sums of reports are brought up to date")
        self.forgetting = Duty(
            "stored_responses", "stored responses that were deleted or have expired leave the database"
        )
        self._is_full = False
        self._copy: list[RequestLog] | None = None  # takes each row while `copying`
        self._unfolded = 0  # rows written since the last fold, at least
        self._fold_at = now
        self._fold_rows = FOLD_ROWS
        self._writer = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        if not self._due:
            journal.forget_recovered()

    @classmethod
    @contextmanager
    def running(cls, journal: Journal, store: Store, *, close_within_s: float = 3.5) -> "Iterator[Ledger]":
        """Run the writer during the block, then write the remaining rows, for at most `close_within_s` seconds.

        Rows that the store has not committed by then stay in the journal for the next start.
        """
        ledger = cls(journal, store)
        ledger._writer.start()
        try:
            yield ledger
        finally:
            ledger._closing.set()
            ledger._arrived.set()
            ledger._gathered.set()
            ledger._writer.join(close_within_s)

    def sync(self) -> None:
        """Flush every row offered so far to the disk. Blocks; not for the event loop."""
        self._journal.flush()

    def begin(self, note: CallStarted) -> None:
        """Write the note of a call that begins: its row is built from it if the process dies before the call ends.

        Raises:
            JournalFull: the journal is full or cannot be written; the call must not be made.
        """
        try:
            self._journal.begin(note)
        except JournalFull:
            self._is_full = True
            raise
        except OSError as error:
            log.error(
                "journal: cannot write the note of a call: %s", error.strerror, extra={"request_id": note.request_id}
            )
            raise JournalFull("the journal cannot be written") from error
        self._is_full = False

    def offer(self, due: PendingRow) -> bool:
        """Journal the row of a call that has ended; False if the journal could not be written.

        In that case the row still goes to the store, but the tail of the response must not be sent.
        """
        try:
            segment = self._journal.settle(due)
        except OSError as error:
            log.error("journal: cannot write a row: %s", error.strerror, extra={"request_id": due.row.request_id})
            segment = NOWHERE
        if due.response_id is not None and (response := due.stored_response()) is not None:
            self.responses.add(response)
        self._due.append(_Waiting(segment, due, time.monotonic()))
        if self._copy is not None:
            self._copy.append(due.row)
        if not self._arrived.is_set():
            self._arrived.set()
        if len(self._due) >= BATCH_ROWS and not self._gathered.is_set():
            self._gathered.set()
        return segment != NOWHERE

    @contextmanager
    def copying(self) -> "Iterator[list[RequestLog]]":
        """Yield a list of the rows that the store may lack; each row that is offered in the block is added to it.

        One block at a time, in the thread of `offer`.
        """
        self._copy = [one.due.row for one in [*self._due]]
        try:
            yield self._copy
        finally:
            self._copy = None

    @property
    def pending(self) -> int:
        """The number of rows that neither the store nor `journal.rejected` has yet."""
        return len(self._due) + len(self._unkept)

    def unrecorded_before(self, started_before: int) -> int:
        """Return how many calls that began before a time (unix seconds) are neither in the store nor rejected by it."""
        waiting = [*self._due, *self._unkept]
        rows = sum(one.due.row.started_at < started_before for one in waiting)
        return rows + self._journal.open_calls_before(started_before)

    @property
    def rejected(self) -> int:
        """The number of rows that the store rejects, in `journal.rejected` or still in the journal."""
        return self._journal.rejected.count + len(self._unkept)

    @property
    def oldest_pending_s(self) -> float | None:
        """Seconds for which the oldest row has waited; None if no row waits."""
        oldest = []
        for waiting in (self._due, self._unkept):
            with suppress(IndexError):  # the writer has just emptied it
                oldest.append(waiting[0].since)
        return time.monotonic() - min(oldest) if oldest else None

    @property
    def is_full(self) -> bool:
        """Whether the journal had no space for a call, and no call or batch has succeeded since."""
        return self._is_full

    @property
    def is_degraded(self) -> bool:
        """Whether the store refused the last batch."""
        return self.storing.is_failing

    def _run(self) -> None:
        back_off = BACK_OFF_FIRST_S
        check_at = time.monotonic() + CHECK_EVERY_S
        while True:
            batch = self._next_batch()
            if not batch and self._closing.is_set():
                self._retry_rejected()
                if self._unfolded:  # so that offline reports need not add up single rows
                    self._fold()
                return
            try:
                if time.monotonic() >= check_at:
                    self._retry_rejected()
                    self._store.check()
                    check_at = time.monotonic() + CHECK_EVERY_S
                if batch:
                    self._move(batch)
                self._remove_responses()
                if self._is_fold_due():
                    self._fold()
            except Exception as error:  # whatever the store or its driver raises, the writer must live and retry
                self._record_failure(error)
                if self._closing.wait(back_off):
                    return  # the remaining rows stay in the journal
                back_off = min(back_off * 2, BACK_OFF_MAX_S)
            else:
                back_off = BACK_OFF_FIRST_S
                self.storing.succeeded()

    def _next_batch(self) -> list[_Waiting]:
        """Return the oldest rows; an empty list when closing, or after a while without rows."""
        self._arrived.clear()  # before the queue is checked, so that no row is missed
        if not self._due and not self._closing.is_set():
            self._arrived.wait(min(CHECK_EVERY_S, max(0.0, self._fold_at - time.monotonic())))
        self._gather()
        return [self._due[index] for index in range(min(BATCH_ROWS, len(self._due)))]

    def _gather(self) -> None:
        """Wait for more rows: for a few, or for those of a whole batch if they come fast. Closing ends the wait."""
        self._gathered.clear()  # before the queue is checked, as above
        if 0 < len(self._due) < BATCH_ROWS and not self._closing.is_set():
            self._gathered.wait(GATHER_S)
            if BUSY_ROWS <= len(self._due) < BATCH_ROWS:
                self._gathered.wait(GATHER_BUSY_S)

    def _move(self, batch: list[_Waiting]) -> None:
        reasons = self._store_rows([one.due for one in batch])
        rejected = []
        if reasons:
            for one in batch:
                reason = reasons.get(one.due.row.request_id)
                if reason is not None:
                    rejected.append(_Waiting(one.segment, one.due, one.since, reason))
        counts = Counter(one.segment for one in batch)
        counts.subtract(one.segment for one in rejected)
        self._unkept += rejected
        for _ in batch:
            self._due.popleft()
        self._release(counts)
        if rejected and not self._journal.rejected.keeping.is_failing:  # else it is retried once a second
            self._keep_rejected()
        self._is_full = False
        self._unfolded += len(batch)

    def _store_rows(self, batch: Sequence[PendingRow]) -> Mapping[str, str]:
        """Store a batch in order; return the reasons for the rows that the store rejects, by `request_id`.

        Raises:
            StoreUnavailable: the store does not answer; the batch may be stored.
        """
        prices: dict[str, PriceRecord] = {}
        for due in batch:
            if due.row.price_id is not None and due.rates is not None and due.row.price_id not in prices:
                record = PriceRecord(due.row.price_id, due.rates, due.price_source, due.price_version)
                prices[due.row.price_id] = record
            if due.share_prices:
                prices.update((price.price_id, price) for price in due.share_prices)
        responses = _responses_of(batch)
        rejected = self._store.append([due.row for due in batch], list(prices.values()), responses)
        if responses:
            self.responses.stored(responses)
        return rejected

    def _remove_responses(self) -> None:
        """Remove stored responses from the store: those that were deleted, and from time to time those that expired."""
        keys, now = self.responses.removable(), time.monotonic()
        is_expiry_due = now >= self._expire_at
        if now < self._remove_from or not (keys or is_expiry_due):
            return
        max_expired = EXPIRE_ROWS if is_expiry_due else 0
        try:
            removed = self._store.remove_responses(keys, int(time.time()), max_expired)
        except Exception as error:  # whatever fails here, rows must be written: expired lines are found by nobody
            self.forgetting.failed(_sentence(error))
            self._remove_from = now + BACK_OFF_MAX_S
            return
        self.forgetting.succeeded()
        self.responses.removed(keys)
        if is_expiry_due:
            self._expire_at = now + (CHECK_EVERY_S if removed == max_expired else EXPIRE_EVERY_S)

    def _release(self, counts: Counter[int]) -> None:
        """Let the journal forget rows, given their number by segment."""
        if self._recovered_left:
            self._recovered_left -= counts[RECOVERED]
            if not self._recovered_left:
                self._journal.forget_recovered()
        self._journal.forget(counts)

    def _retry_rejected(self) -> None:
        if self._unkept or self._journal.rejected.keeping.is_failing:
            self._keep_rejected()

    def _keep_rejected(self) -> None:
        """Move the rows that the store rejects to their file; those that it does not take stay in the journal."""
        while True:
            part = self._unkept[:BATCH_ROWS]
            if not self._journal.rejected.keep([(one.due, one.reason) for one in part]):
                self._carry_rejected()
                return
            self._unkept = self._unkept[len(part) :]
            self._release(Counter(one.segment for one in part))
            if not self._unkept:
                return

    def _carry_rejected(self) -> None:
        """Move rows that stay to the journal's newest segment, so that the older segments can be removed."""
        newest = self._journal.newest
        older = [one for one in self._unkept if one.segment != newest]
        if not older:
            return
        try:
            number, carried = self._journal.carry([one.due for one in older])
        except OSError:  # the duty `journal_flush` says so; they stay where they are
            return
        moved = [_Waiting(number, one.due, one.since, one.reason) for one in older[:carried]]
        self._unkept = [*older[carried:], *(one for one in self._unkept if one.segment == newest), *moved]
        self._release(Counter(one.segment for one in older[:carried]))

    def _is_fold_due(self) -> bool:
        now = time.monotonic()
        if len(self._due) >= BATCH_ROWS:  # rows go first, but not forever
            return now >= self._fold_at + FOLD_LATEST_S
        return self._unfolded >= self._fold_rows or now >= self._fold_at

    def _fold(self) -> None:
        """Fold one step; make the next one due at once if rows remain."""
        self._unfolded = 0
        began = time.monotonic()
        self._fold_at = began + FOLD_EVERY_S
        try:
            is_behind = self._store.fold(self._fold_rows) >= self._fold_rows
        except Exception as error:  # whatever fails here, rows must be written: reports add them up one by one
            self.folding.failed(_sentence(error))
            return
        self.folding.succeeded()
        took_s = time.monotonic() - began
        if took_s > FOLD_STEP_S:
            self._fold_rows = max(FOLD_ROWS_LEAST, int(self._fold_rows * FOLD_STEP_S / took_s))
        elif is_behind:
            self._fold_rows = min(FOLD_ROWS, self._fold_rows * 2)
        if is_behind:
            self._fold_at = time.monotonic()

    def _record_failure(self, error: Exception) -> None:
        self.storing.failed(_sentence(error))


def _responses_of(batch: Sequence[PendingRow]) -> list[StoredResponse]:
    """Return the responses that providers keep."""
    found = (due.stored_response() for due in batch if due.response_id is not None)
    return [response for response in found if response is not None]


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, StoreUnavailable) else type(error).__name__  # other messages may quote rows
