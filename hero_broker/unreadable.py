"""What the HTTP parser cannot read is refused in OpenAI's shape too, though no request comes of it."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hero_broker.core.errors import InvalidRequest
from hero_broker.core.ids import new_request_id
from hero_broker.edge.requests import error_parts


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, whose one answer of its own is ours."""

    def send_400_response(self, msg: str) -> None:
        """Refuse and close the connection: where a next request would begin is not known."""
        told = InvalidRequest(f"{msg} A URL has at most 65535 bytes.", code="unreadable_request")
        status, headers, body = error_parts(told)
        lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
        more = ((b"x-request-id", new_request_id().encode()), (b"connection", b"close"))
        lines += [name + b": " + value for name, value in (*headers, *more)]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.transport.close()
