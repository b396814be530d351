"""Clients that send what nobody should, or nothing, or take nothing: none is held for long, and none bills another."""

import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.provider import DONE, HEAD, JSON_HEAD, USAGE, Provider, answering, event
from tests.e2e_support import Broker, broker, started_broker
from tests.raw_clients import chat_request, connected, read_answer, request, rest_of
from tests.smuggling import CHAT, CHUNKED, H2C, IN_CHUNKS, LENGTH, SHAPES, WEBSOCKET, call
from tests.stores import query
from tests.waits import wait_until

SETTINGS = """
[server]
header_timeout_s = 0.5
body_timeout_s = 0.5
max_body_bytes = 100_000
trusted_proxies = ["127.0.0.1"]
[upstream]
idle_timeout_s = 1
"""
HEAD_BYTES = 65_536
OK, BAD, TOO_LONG, GONE = 200, 400, 431, 0


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"


@pytest.fixture(scope="module")
def running(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose clients have a second for everything."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "settings.toml").write_text(SETTINGS)
    with broker(
        folder / "state", "--config", str(folder / "settings.toml"), HERO_BROKER_DATABASE_URL=database
    ) as found:
        yield found


def rows(running: Broker, database: str) -> int:
    """Return the number of rows, once all are in the store."""
    running.usage()
    return int(query(database, "SELECT count(*) FROM request_logs")[0][0])


def status_and_code(received: bytes) -> tuple[int, str]:
    """Return the status and the code of the only answer, which closes the connection; 0 where there is none."""
    if not received:
        return GONE, ""
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return int(head.split()[1]), error["code"]


@pytest.mark.parametrize("sent", [b"", b"P", chat_request()[:60], request("/health/live", method="GET")[:-2]])
def test_connection_without_a_whole_head_is_closed(running: Broker, sent: bytes) -> None:
    with connected(running.url) as connection:
        connection.sendall(sent)

        assert rest_of(connection) == b""


def test_head_that_comes_in_drips_is_closed_at_the_same_deadline(running: Broker) -> None:
    with connected(running.url) as connection:
        drips = 0
        while not select.select([connection], [], [], 0.05)[0]:  # to be read is the end alone
            connection.sendall(b"a" if drips else b"GET /")
            drips += 1
            assert drips < 400

        assert rest_of(connection) == b""


def test_second_head_has_a_deadline_too(running: Broker) -> None:
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(request("/health/live", method="GET") + b"GET /hea")

        assert read_answer(received)[0] == OK
        assert received.read() == b""


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"a: " + b"b" * HEAD_BYTES * 2, id="endless value"),
        pytest.param(b"a" * HEAD_BYTES * 2, id="endless name"),
        pytest.param(b"a: b\r\n" * 101, id="many headers"),
        pytest.param(b"".join(b"a: " + b"b" * 1000 + b"\r\n" for _ in range(70)) + b"\r\n", id="long, whole"),
        pytest.param(b"a: " + b"b" * (HEAD_BYTES - 3) + b"\r\n\r\n", id="one value too long, whole"),
    ],
)
def test_head_that_is_too_long_is_refused(running: Broker, head: bytes) -> None:
    with connected(running.url) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n" + head)

        assert status_and_code(rest_of(connection)) == (TOO_LONG, "head_too_large")


def test_head_within_the_bounds_is_read_however_it_comes(running: Broker) -> None:
    value = "b" * (HEAD_BYTES - 200)
    whole = request("/health/live", method="GET", headers={"a": value})
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(whole[:30_000])
        connection.sendall(whole[30_000:])
        assert read_answer(received)[0] == OK

        many = {f"x-{number}": "a" for number in range(97)}
        connection.sendall(request("/health/live", method="GET", headers=many))
        assert read_answer(received)[0] == OK


def test_trailer_without_end_is_refused(running: Broker) -> None:
    with connected(running.url) as connection:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na: " + b"b" * 400_000)

        assert status_and_code(rest_of(connection)) == (TOO_LONG, "head_too_large")


@pytest.mark.parametrize("sent", SHAPES.values(), ids=SHAPES)
def test_what_two_readers_could_take_for_different_requests_is_refused_and_not_billed(
    running: Broker, database: str, sent: bytes
) -> None:
    before = rows(running, database)
    with connected(running.url) as connection:
        connection.sendall(sent + b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n")

        assert status_and_code(rest_of(connection)) == (BAD, "unreadable_request")

    assert rows(running, database) == before


@pytest.mark.parametrize(
    ("headers", "body"), [(LENGTH, CHAT), (IN_CHUNKS, CHUNKED)], ids=["with a length", "in chunks"]
)
def test_offer_of_another_protocol_is_passed_over_and_the_connection_goes_on(
    running: Broker, database: str, headers: bytes, body: bytes
) -> None:
    before = rows(running, database)
    with connected(running.url) as connection, connection.makefile("rb") as received:
        for _ in range(2):
            connection.sendall(call(H2C + b"expect: 100-continue\r\n" + headers, b""))
            assert received.readline() + received.readline() == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)  # a packet of its own, since the broker has read the head
            assert read_answer(received)[0] == OK
        connection.sendall(call(H2C + headers, body) + call(H2C, b"", b"GET /health/live HTTP/1.1"))
        assert [read_answer(received)[0] for _ in range(2)] == [OK, OK]

    assert rows(running, database) == before + 3


def test_request_inside_the_body_of_an_offer_is_no_request(running: Broker, database: str) -> None:
    before = rows(running, database)
    hidden = chat_request()
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(call(H2C + b"content-length: %d\r\n" % len(hidden), hidden))
        connection.sendall(request("/health/live", method="GET"))

        assert [read_answer(received)[0] for _ in range(2)] == [BAD, OK]

    assert rows(running, database) == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/responses",
        "/v1/v1/responses",
        "/openai/v1/responses",
        "/v1/realtime?model=m",
        "/v1/chat/completions",
        "/rpc",
        "/nowhere",
    ],
)
@pytest.mark.parametrize("name", [b"websocket", b"WebSocket", b"h2c, websocket", b"websocket/13"])
def test_websocket_is_refused_with_426_and_nothing_is_read_behind_it(running: Broker, path: str, name: bytes) -> None:
    line = f"GET {path} HTTP/1.1".encode()
    with connected(running.url) as connection:
        connection.sendall(call(WEBSOCKET.replace(b"websocket", name, 1), chat_request(), line))
        answer = rest_of(connection)

    assert status_and_code(answer) == (426, "upgrade_refused")
    assert b"\r\nupgrade: HTTP/1.1\r\nconnection: upgrade\r\n" in answer
    assert b"\r\nx-should-retry: false\r\n" in answer


def until_closed(running: Broker, sent: bytes) -> tuple[bytes, bytes]:
    """Return the head and the body of an answer that ends with its connection."""
    with connected(running.url) as connection:
        connection.sendall(sent.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
        answer = b""
        while piece := connection.recv(65536):  # a reset would fail
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head.lower()
    assert b"transfer-encoding" not in head.lower()
    return head.lower(), body


def test_stream_in_http_1_0_ends_with_its_connection(running: Broker) -> None:
    asked = json.loads(CHAT) | {"stream": True}
    for keep_alive in ({}, {"connection": "keep-alive"}):
        head, body = until_closed(
            running, request("/v1/chat/completions", json.dumps(asked).encode(), headers=keep_alive)
        )

        assert b"content-length" not in head
        assert body.startswith(b"data: {")
        assert body.endswith(b"}\n\ndata: [DONE]\n\n")
        assert b"\r\nx-accel-buffering: no" in head


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson"])
def test_export_in_http_1_0_ends_with_its_connection(running: Broker, kind: str) -> None:
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(chat_request())
        assert read_answer(received)[0] == OK
    running.usage()
    head, body = until_closed(running, request("/billing/requests", method="GET", headers={"accept": kind}))

    assert b"content-length" not in head
    assert kind.encode() in head
    assert body == httpx.get(f"{running.url}/billing/requests", headers={"accept": kind}).content


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(chat_request(), OK, id="call"),
        pytest.param(request("/health/live", method="GET"), OK, id="health"),
        pytest.param(request("/rpc", b'[{"jsonrpc":"2.0","id":1,"method":"system.info"}]'), OK, id="batch"),
        pytest.param(request("/billing/requests", method="HEAD", headers={"accept": "text/csv"}), OK, id="HEAD"),
        pytest.param(request("/nowhere", method="GET"), 404, id="error"),
        pytest.param(request("/health/live", method="GET", headers={"connection": "keep-alive"}), OK, id="keep-alive"),
    ],
)
def test_answer_in_http_1_0_is_never_in_chunks(running: Broker, sent: bytes, status: int) -> None:
    head, body = until_closed(running, sent + request("/health/live", method="GET"))

    assert int(head.split()[1]) == status
    assert b"HTTP/1." not in body
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    assert not length or sent.startswith(b"HEAD") or len(body) == int(length)


def test_requests_sent_ahead_are_answered_in_order_and_each_is_billed_to_its_own_address(
    running: Broker, database: str
) -> None:
    addresses = [f"10.0.0.{number}" for number in range(1, 21)]
    calls = [
        chat_request(number, {"x-forwarded-for": address, "x-hero-context": "ahead"})
        for number, address in enumerate(addresses, 1)
    ]
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(b"".join(calls))
        answers = [read_answer(received) for _ in calls]

    assert [status for status, _ in answers] == [OK] * 20
    assert [json.loads(body)["usage"]["prompt_tokens"] for _, body in answers] == list(range(1, 21))
    running.usage()
    billed = query(database, "SELECT ip, input_tokens FROM request_logs WHERE context = 'ahead' ORDER BY input_tokens")
    assert billed == [(address, number) for number, address in enumerate(addresses, 1)]


def test_trailer_does_not_choose_who_pays(running: Broker, database: str) -> None:
    headers = b"x-forwarded-for: 10.0.0.77\r\nx-hero-context: trailer\r\n" + IN_CHUNKS
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(call(headers, CHUNKED[:-2] + b"x-forwarded-for: 10.9.9.9\r\n\r\n"))

        assert read_answer(received)[0] == OK

    running.usage()
    assert query(database, "SELECT ip FROM request_logs WHERE context = 'trailer'") == [("10.0.0.77",)]


def test_refusal_comes_after_the_answers_that_are_due(running: Broker) -> None:
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(chat_request(1) + chat_request(2) + b"nonsense\r\n\r\n" + chat_request(3))

        answers = [read_answer(received) for _ in range(3)]
        assert [status for status, _ in answers] == [OK, OK, BAD]
        assert [json.loads(body)["usage"]["prompt_tokens"] for _, body in answers[:2]] == [1, 2]
        assert received.read() == b""


def test_no_more_than_a_hundred_requests_wait(running: Broker) -> None:
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(chat_request(1) + request("/health/live", method="GET") * 300)

        answers = [read_answer(received)[0] for _ in range(102)]
        assert answers == [OK] * 101 + [BAD]
        assert received.read() == b""


def test_client_that_leaves_with_requests_waiting_is_billed_for_the_first_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    config = tmp_path / "settings.toml"
    with Provider() as provider:
        config.write_text(provider.config())
        with broker(tmp_path / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=url) as found:
            body = json.dumps({"model": "m", "stream": True, "messages": []}).encode()
            with connected(found.url) as connection:
                connection.sendall(request("/v1/chat/completions", body) * 3)
                exchange = provider.accept()
                exchange.send(HEAD + event("one"))
                received = b""
                while b"one" not in received:
                    received += connection.recv(65536)
            httpx.get(f"{found.url}/health/live")  # comes after the end of the other connection
            exchange.send(USAGE + DONE)
            exchange.end()
            found.usage()

    assert query(url, "SELECT outcome, input_tokens FROM request_logs") == [("client_disconnected", 40)]


ANYWHERE = [
    ("POST", "/v1/chat/completions", 413),
    ("POST", "/rpc", 413),
    ("POST", "/billing/periods", 413),
    ("GET", "/billing/usage", 200),
    ("GET", "/v1/models", 200),
    ("POST", "/health/live", 405),
    ("POST", "/nowhere", 404),
]


@pytest.mark.parametrize(("method", "path", "status"), ANYWHERE)
def test_body_that_nobody_wants_is_answered_and_the_connection_goes_on(
    running: Broker, method: str, path: str, status: int
) -> None:
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(request(path, b" " * 2_000_000, method))
        assert read_answer(received)[0] == status

        connection.sendall(request("/health/live", method="GET"))
        assert read_answer(received) == (OK, b'{"status":"ok"}')


@pytest.mark.parametrize(("method", "path", "status"), ANYWHERE)
@pytest.mark.parametrize("connection_header", ["keep-alive", "close"])
def test_body_that_nobody_wants_and_that_does_not_end_is_cut_off(
    running: Broker, method: str, path: str, status: int, connection_header: str
) -> None:
    head = request(path, b"", method, {"content-length": "10000000000", "connection": connection_header})
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(head + b" " * 2_000_000)
        assert read_answer(received)[0] == status

        assert rest_of(connection) == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/rpc"),
        ("POST", "/billing/periods"),
        ("PUT", "/admin/labels?target=unknown"),
    ],
)
def test_body_that_stops_is_refused_in_time(running: Broker, method: str, path: str) -> None:
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(request(path, b"{", method, {"content-length": "100"}))
        answer = read_answer(received)
        assert received.read() == b""

    assert answer[0] == 408
    assert b"body_timeout" in answer[1] or path == "/rpc"


@pytest.mark.parametrize("pieces", [1, 2], ids=["at once", "in two"])
@pytest.mark.parametrize(("size", "status"), [(100_000, OK), (100_001, 413)])
def test_body_is_as_long_as_it_may_be_however_it_comes(running: Broker, size: int, status: int, pieces: int) -> None:
    body = CHAT + b" " * (size - len(CHAT))
    sent = call(IN_CHUNKS, b"%x\r\n%s\r\n0\r\n\r\n" % (size, body))
    with connected(running.url) as connection, connection.makefile("rb") as received:
        step = -(-len(sent) // pieces)
        for at in range(0, len(sent), step):
            connection.sendall(sent[at : at + step])

        assert read_answer(received)[0] == status


def test_body_for_which_nobody_asked_is_not_taken_for_a_request(running: Broker) -> None:
    """`Expect: 100-continue` is answered with a refusal: a client may send the body or not, and then a request."""
    with connected(running.url) as connection, connection.makefile("rb") as received:
        connection.sendall(request("/nowhere", b"", "POST", {"content-length": "50", "expect": "100-continue"}))
        assert read_answer(received)[0] == 404
        connection.sendall(request("/health/live", method="GET"))

        assert received.read() == b""


def test_client_that_leaves_within_a_body_is_no_fault_in_the_log(tmp_path: Path) -> None:
    with broker(tmp_path / "state") as found:
        for path in ("/rpc", "/billing/periods", "/v1/chat/completions"):
            with connected(found.url) as connection:
                connection.sendall(request(path, b"{", headers={"content-length": "100"}))
        httpx.get(f"{found.url}/health/live")

    assert "Traceback" not in found.log
    assert '"exception"' not in found.log


def is_reset(connection: socket.socket) -> bool:
    """Return whether the broker gives up; nothing is read before."""
    watcher = select.poll()
    watcher.register(connection, select.POLLHUP | select.POLLERR)
    return bool(watcher.poll(20_000))


BATCH = json.dumps([{"jsonrpc": "2.0", "id": number, "method": "rpc.discover"} for number in range(100)]).encode()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(request("/rpc", BATCH), id="batch"),
        pytest.param(request("/openrpc.json", method="GET") * 100, id="many answers"),
    ],
)
def test_client_that_takes_nothing_is_cut_off(running: Broker, sent: bytes) -> None:
    with connected(running.url, received_bytes=4096) as connection:
        connection.sendall(sent)

        assert is_reset(connection)


def test_client_that_takes_nothing_of_a_whole_answer_is_cut_off_and_billed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    config = tmp_path / "settings.toml"
    large_response = b'{"usage":{"prompt_tokens":40,"completion_tokens":3},"text":"%s"}' % (b"a" * 8_000_000)
    with Provider() as provider:
        config.write_text(provider.config() + "[upstream]\nidle_timeout_s = 1\n")
        with broker(tmp_path / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=url) as found:
            with (
                connected(found.url, received_bytes=4096) as connection,
                answering(provider, JSON_HEAD + b"content-length: %d\r\n\r\n" % len(large_response) + large_response),
            ):
                body = json.dumps({"model": "m", "messages": []}).encode()
                connection.sendall(request("/v1/chat/completions", body))

                assert is_reset(connection)
            found.usage()

    assert query(url, "SELECT input_tokens, output_tokens FROM request_logs") == [(40, 3)]


def test_client_that_reads_slowly_is_not_cut_off(running: Broker) -> None:
    """It takes longer than the timeout in all, but never so long for a part."""
    with connected(running.url, received_bytes=4096) as connection:
        connection.sendall(request("/rpc", BATCH[:-1] + b"]", headers={"connection": "close"}))
        received = 0
        while piece := connection.recv(65536):
            received += len(piece)
            select.select([], [], [], 0.001)

    assert received > 1_000_000


def test_connections_beyond_the_limit_close_those_without_a_request_the_longest_first(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("[server]\nmax_calls = 4\nheader_timeout_s = 60\n[billing]\ndrain_max_calls = 1\n")
    with started_broker(tmp_path / "state", "--config", str(settings), open_files=str(384 + 1 + 2 * 4 + 12)) as found:
        silent = []
        for number in range(100):
            silent.append(socket.create_connection(("127.0.0.1", int(found.url.rpartition(":")[2])), timeout=20))
            if number % 10 == 0:
                assert httpx.post(f"{found.url}/v1/chat/completions", json=json.loads(CHAT)).json()["usage"][
                    "prompt_tokens"
                ]
        httpx.get(f"{found.url}/health/live")  # comes after all others
        first_closed = [one for one in silent[:80] if one.recv(1) == b""]
        still_open = [one for one in silent if not select.select([one], [], [], 0)[0]]
        for one in silent:
            one.close()
        wait_until(lambda: "open connections is reached" in found.log)

    assert len(first_closed) == 80
    assert 1 <= len(still_open) <= 12
    assert still_open == silent[-len(still_open) :]
    assert found.log.count("the limit of 12 open connections is reached") == 1
