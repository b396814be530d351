"""The tables of the ledger, for SQLite (STRICT) and PostgreSQL."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

from hero_broker.core.records import ROW_FIELDS, RowField

# SQLite's STRICT tables have only INTEGER, TEXT and BLOB.
BIG = BigInteger().with_variant(Integer(), "sqlite")
# Reports sort by texts of this type; both stores compare them by bytes.
_TEXT = Text(collation="C").with_variant(Text(), "sqlite")

METADATA = MetaData()


_BITS_32 = ("http_status", "attempts")  # columns of PostgreSQL that were made as INTEGER, not BIGINT


def _column(field: RowField) -> Column[Any]:
    """Return the column of a row's field. Booleans are 0 or 1, enums their values."""
    if issubclass(field.type, str):
        return Column(field.name, Text, nullable=field.is_nullable)
    if issubclass(field.type, bytes):
        return Column(field.name, LargeBinary, nullable=field.is_nullable)
    is_small = issubclass(field.type, bool) or field.name in _BITS_32
    return Column(field.name, Integer if is_small else BIG, nullable=field.is_nullable)


REQUEST_LOGS = Table(
    "request_logs",
    METADATA,
    Column("seq", BIG, primary_key=True, autoincrement=True),  # position in the ledger, in commit order
    *(_column(field) for field in ROW_FIELDS),
    UniqueConstraint("request_id", name="request_logs_request_id"),
    Index("request_logs_ip_started_at", "ip", "started_at"),
    Index("request_logs_started_at", "started_at"),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)

PRICES = Table(
    "prices",
    METADATA,
    Column("price_id", Text, primary_key=True),  # content hash of `rates`
    Column("rates", Text, nullable=False),  # JSON
    Column("source", Text),  # where the rates were read first; NULL in rows of schema 1
    Column("version", Text),  # of that source
    sqlite_strict=True,
)

# The sums that ledgers of schema 4 lack.
SUMS_SINCE_5 = ("cached_input_tokens", "characters", "audio_ms", "search_units", "images", "web_searches")
# What reports sum, in the order in which statements give it. Roll-ups have a column for each.
SUMS = (
    "requests",
    "failed_requests",
    "estimated_requests",
    "unpriced_requests",
    "input_tokens",
    "output_tokens",
    *SUMS_SINCE_5,
    "cost_nano_usd",
    "first_seen",
    "last_seen",
)
COUNTS = SUMS[:-2]  # those that can be subtracted
ALL_TIME = 0  # the span of a roll-up's row that holds everything; it begins at 0
HOUR, DAY = 3_600, 86_400


def _rollup(name: str, dimensions: tuple[str, ...], spans: tuple[int, ...], *, has: str | None = None) -> Table:
    """Return a table of sums over rows, or over those with a value in `has`, by block of time and by `dimensions`.

    The key begins with time, so that rows that are folded together, or read for one window, are stored together.
    """
    keys: list[Column[Any]] = [
        Column("generation", BIG, primary_key=True, autoincrement=False),  # a generation of `rollup_state`
        Column("span_s", BIG, primary_key=True, autoincrement=False),  # seconds of the block; 0 = all time
        Column("begins_at", BIG, primary_key=True, autoincrement=False),  # unix seconds, UTC; a multiple of `span_s`
        *(Column(dimension, _TEXT, primary_key=True) for dimension in dimensions),
    ]
    return Table(
        name,
        METADATA,
        *keys,
        *_sums(),
        info={"dimensions": dimensions, "spans": spans, "has": has},
        sqlite_strict=True,
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 80},  # rows are updated in place frequently
    )


def _sums() -> list[Column[int]]:
    return [Column(name, BIG, nullable=False) for name in SUMS]


# Each span is a multiple of the one before it, so that any window of whole hours is a few blocks of each. Calendar
# months are not spans: their lengths differ, and a month is ten blocks at most. Reading one address costs a seek per
# block, so by address and model there are fewer spans, and none for all time.
USAGE_BY_MODEL = _rollup("usage_by_model", ("model", "provider", "kind"), (HOUR, DAY, 30 * DAY, ALL_TIME))
USAGE_BY_IP = _rollup("usage_by_ip", ("ip",), (HOUR, DAY, 5 * DAY, 30 * DAY, ALL_TIME))
USAGE_BY_IP_MODEL = _rollup("usage_by_ip_model", ("ip", "model"), (HOUR, DAY, 30 * DAY))
# A call without a key is in none of its rows: what such calls add up to is the rest of `USAGE_BY_MODEL`.
USAGE_BY_KEY_MODEL = _rollup(
    "usage_by_key_model", ("api_key_id", "model"), USAGE_BY_MODEL.info["spans"], has="api_key_id"
)
ROLLUPS = (USAGE_BY_MODEL, USAGE_BY_KEY_MODEL, USAGE_BY_IP, USAGE_BY_IP_MODEL)  # the smallest first

# The rows that a fold adds, summed by hour and by every dimension of a roll-up; empty between transactions.
FRESH = Table(
    "fresh",
    MetaData(),
    Column("hour", BIG, primary_key=True, autoincrement=False),
    # `api_key_id` is empty for calls without a key.
    *(Column(name, Text, primary_key=True) for name in ("ip", "model", "provider", "kind", "api_key_id")),
    Column("ip_key", LargeBinary),
    *_sums(),
    prefixes=["TEMPORARY"],
    sqlite_with_rowid=False,
    postgresql_on_commit="DROP",  # sessions of a pooler outlive the broker, and its next version may have other columns
)

ROLLUP_STATE = Table(
    "rollup_state",
    METADATA,
    Column("generation", BIG, primary_key=True, autoincrement=False),
    Column("folded_seq", BIG, nullable=False),  # rows up to and including it are in the roll-ups
    Column("state", Text, nullable=False),  # "active": reports read it; "building"; "retired": it is being removed
    sqlite_strict=True,
)

ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("ip", Text, primary_key=True),  # every address in a roll-up
    Column("ip_key", LargeBinary),  # 16 bytes, IPv4 as mapped; NULL for "unknown"
    Index("addresses_ip_key", "ip_key"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

BILLING_PERIODS = Table(
    "billing_periods",
    METADATA,
    Column("number", BIG, primary_key=True, autoincrement=False),  # 1, 2, …
    Column("reference", Text, nullable=False),  # chosen by the operator, such as "2026-11"
    Column("from_seq", BIG, nullable=False),  # the period before has `to_seq` from_seq - 1
    Column("to_seq", BIG, nullable=False),  # inclusive
    Column("marked_at", BIG, nullable=False),  # unix seconds, UTC
    # NULL in a period that a broker without these sums marked
    *(Column(name, BIG, nullable=name in SUMS_SINCE_5) for name in COUNTS),
    Column("summed_to_seq", BIG),  # rows up to and including it are in all sums; NULL: in those of schema 4 only
    Column("until", BIG),  # unix seconds: only calls that began before it; NULL: all up to `to_seq`
    Column("tz", Text),  # the time zone of `until`
    # Rows below `from_seq` belong to it too, if they have at least this `seq` and began at or after `earlier_since`:
    # they were held over by periods before it. NULL: there are none.
    Column("earlier_from_seq", BIG),
    Column("earlier_since", BIG),
    # 0 without `until`. On PostgreSQL these two have no default, so that a broker of schema 5 cannot mark a period: it
    # would not count what earlier periods held over.
    Column("late_requests", BIG, nullable=False),  # its calls that began before the `until` of an earlier period
    Column("held_over_requests", BIG, nullable=False),  # calls up to `to_seq` that it leaves for a later period
    Column("held_over_from_seq", BIG),  # of the first of these; NULL: there are none
    UniqueConstraint("reference", name="billing_periods_reference"),
    sqlite_strict=True,
)

# The sums of a closed period, by address and model.
BILLING_LINES = Table(
    "billing_lines",
    METADATA,
    Column("number", BIG, primary_key=True, autoincrement=False),  # of its period
    Column("ip", _TEXT, primary_key=True),
    Column("model", _TEXT, primary_key=True),
    Column("label", Text),  # of the address at the close; NULL: it had none
    *_sums(),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

LABELS = Table(
    "labels",
    METADATA,
    Column("target", Text, primary_key=True),  # an address, a network in CIDR notation, or "unknown"; canonical
    Column("label", Text),  # NULL after its removal
    Column("set_at", BIG, nullable=False),  # unix seconds, UTC
    Column("revision", BIG, nullable=False),  # grows with each change of any label
    Index("labels_revision", "revision"),
    sqlite_strict=True,
)

# The limits that are set while brokers run; those of a settings file are not here.
LIMIT_DEFINITIONS = Table(
    "limit_definitions",
    METADATA,
    Column("name", _TEXT, primary_key=True),
    Column("definition", Text),  # canonical JSON, as it was set; NULL after its removal
    Column("set_at", BIG, nullable=False),  # unix seconds, UTC
    Column("revision", BIG, nullable=False),  # grows with each change of any definition
    Index("limit_definitions_revision", "revision"),
    sqlite_strict=True,
)

# What subjects of budgets may use beyond the amount. A grant is never removed; if it is revoked, its `until` changes.
LIMIT_GRANTS = Table(
    "limit_grants",
    METADATA,
    Column("grant_id", BIG, primary_key=True, autoincrement=False),  # 1, 2, …
    Column("name", _TEXT, nullable=False),  # of the limit
    Column("subject", Text, nullable=False),  # canonical JSON object; its members are those of the limit's `per`
    Column("unit", Text, nullable=False),  # of the limit when the grant was made
    Column("amount", BIG, nullable=False),  # of the unit; money in nano-USD; above 0
    Column("granted_at", BIG, nullable=False),  # unix seconds, UTC
    Column("until", BIG),  # unix seconds, not included; NULL: for ever
    Column("reason", Text, nullable=False),
    Column("revision", BIG, nullable=False),  # grows with each grant, and with each that is revoked
    Index("limit_grants_name", "name"),
    Index("limit_grants_revision", "revision"),
    sqlite_strict=True,
)

# The responses that providers keep, each with the caller that may refer to it.
RESPONSES = Table(
    "responses",
    METADATA,
    Column("response_id", _TEXT, primary_key=True),  # the provider's; two providers may have the same
    Column("owner", _TEXT, primary_key=True),  # "ip:" and an address, or "key:" and the id of a key
    Column("provider", Text, nullable=False),
    Column("provider_key", Text),  # as in `request_logs`
    Column("model", Text, nullable=False),  # the broker's name
    Column("request_id", Text, nullable=False),  # of the row
    Column("tokens", BIG, nullable=False),  # input and output of the row
    Column("expires_at", BIG, nullable=False),  # unix seconds, UTC
    Index("responses_expires_at", "expires_at"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# The budgets whose counters `limit_usage` has.
LIMIT_COUNTS = Table(
    "limit_counts",
    METADATA,
    Column("limit_id", BIG, primary_key=True, autoincrement=False),
    Column("name", _TEXT, nullable=False),  # of the limit
    Column("shape", Text, nullable=False),  # what it counts and by what, as JSON: a change makes new counters
    Column("counted_seq", BIG, nullable=False),  # rows up to and including it are in the counters
    Column("kept_from", BIG, nullable=False),  # the begin of the oldest window that is kept
    Column("latest", BIG, nullable=False),  # the begin of the latest window
    UniqueConstraint("name", "shape", name="limit_counts_name_shape"),
    sqlite_strict=True,
)

# What each subject used of a budget in a window.
LIMIT_USAGE = Table(
    "limit_usage",
    METADATA,
    Column("limit_id", BIG, primary_key=True, autoincrement=False),
    # Unix seconds, UTC; of a budget by billing period, the number of the period that these calls will be in.
    Column("window_start", BIG, primary_key=True, autoincrement=False),
    Column("subject", _TEXT, primary_key=True),  # the values of what the budget counts by, as JSON
    *(Column(name, BIG, nullable=False) for name in ("requests", "input_tokens", "output_tokens", "cost_nano_usd")),
    sqlite_strict=True,
    sqlite_with_rowid=False,
    postgresql_with={"fillfactor": 80},  # rows are updated in place frequently
)

SCHEMA_VERSION = Table("schema_version", METADATA, Column("version", Integer, primary_key=True), sqlite_strict=True)
