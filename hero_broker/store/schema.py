"""The tables of the ledger, for SQLite (STRICT) and PostgreSQL."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

# SQLite's STRICT tables know INTEGER, TEXT and BLOB alone.
BIG = BigInteger().with_variant(Integer(), "sqlite")

METADATA = MetaData()


def _count(name: str) -> Column[int]:
    return Column(name, BIG)


REQUEST_LOGS = Table(
    "request_logs",
    METADATA,
    Column("seq", BIG, primary_key=True, autoincrement=True),  # position in the ledger, in commit order
    Column("request_id", Text, nullable=False),
    Column("started_at", BIG, nullable=False),  # unix seconds, UTC
    Column("ip", Text, nullable=False),
    Column("ip_key", LargeBinary),  # 16 bytes, IPv4 as mapped
    Column("peer_ip", Text),
    Column("context", Text),
    Column("api_key_id", Text),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("upstream_model", Text, nullable=False),
    Column("stream", Integer, nullable=False),  # 0 or 1
    Column("outcome", Text, nullable=False),
    Column("http_status", Integer),
    Column("error_code", Text),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cached_input_tokens"),
    _count("cache_write_tokens"),
    _count("reasoning_tokens"),
    _count("audio_input_tokens"),
    _count("audio_output_tokens"),
    _count("characters"),
    _count("audio_ms"),
    _count("search_units"),
    Column("usage_source", Text, nullable=False),
    Column("cost_nano_usd", BIG),  # 1e-9 USD; NULL where no price is known
    Column("cost_source", Text),
    Column("price_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("duration_ms", BIG, nullable=False),
    Column("first_byte_ms", BIG),
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
    Column("source", Text),  # where the rates were read, the first time; NULL in rows of schema 1
    Column("version", Text),  # of that source
    sqlite_strict=True,
)

SCHEMA_VERSION = Table("schema_version", METADATA, Column("version", Integer, primary_key=True), sqlite_strict=True)
