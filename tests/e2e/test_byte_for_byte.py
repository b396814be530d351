"""Agents over real sockets, with a provider that keeps what it gets: bodies pass as they are, headers by rules."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.agent_bodies import AGENT_BODIES, CLAUDE_CODE, CODEX, COMPACT, AgentBody
from tests.e2e.provider import HEAD, JSON_HEAD, Exchange, Provider
from tests.e2e_support import Broker, broker
from tests.wires import MESSAGES, RESPONSES

WIRE_OF = {wire.path: wire for wire in (MESSAGES, RESPONSES)}
UPSTREAM_MODEL = "another-name-of-m"
OURS = {"host", "content-length", "accept", "accept-encoding", "user-agent"}  # of any request to a provider


@dataclass(frozen=True)
class Recording:
    """A broker before a provider that keeps the bytes that it gets."""

    running: Broker
    provider: Provider

    def exchange(
        self, path: str, body: bytes, answer: bytes, headers: Mapping[str, str]
    ) -> tuple[Exchange, httpx.Response]:
        """Send a request; return what the provider got, and what the client got."""
        sent = {"content-type": "application/json", **headers}
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx.post, self.running.url + path, content=body, headers=sent, timeout=20)
            upstream = self.provider.accept()
            upstream.send(answer)
            upstream.end()
            return upstream, asked.result()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    folder: Path = tmp_path_factory.mktemp("recording")
    config = folder / "hero-broker.toml"
    with Provider() as provider:
        config.write_text(
            f'[[providers]]\nname = "p"\nbase_url = "{provider.url}"\napi_keys = ["sk-provider-key"]\n'
            'wires = ["openai", "anthropic", "responses"]\n'
            f'[[models]]\nname = "m"\nprovider = "p"\nupstream_model = "{UPSTREAM_MODEL}"\n'
            '[[models]]\nname = "same"\nprovider = "p"\n'
        )
        url = f"sqlite:///{folder}/ledger.db"
        with broker(folder / "state", "--config", str(config), HERO_BROKER_DATABASE_URL=url) as running:
            yield Recording(running, provider)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", [name for name, agent in AGENT_BODIES.items() if agent.separators == COMPACT])
def test_body_and_answer_of_an_agent_pass_byte_for_byte(recording: Recording, name: str, line_end: bytes) -> None:
    agent = AGENT_BODIES[name]
    wire = WIRE_OF[agent.path]
    is_stream = agent.members.get("stream") is True
    body = (wire.stream if is_stream else wire.whole).replace(b"\n", line_end)
    head = HEAD if is_stream else JSON_HEAD + b"content-length: %d\r\n\r\n" % len(body)

    renamed, answer = recording.exchange(agent.path, agent.encode(), head + body, {})
    same, _ = recording.exchange(agent.path, agent.encode("same"), head + body, {})

    assert renamed.body == agent.encode(UPSTREAM_MODEL)
    assert same.body == agent.encode("same")
    assert answer.content == body


CODEX_SENDS = {
    "accept": "text/event-stream",
    "session_id": "01a2",
    "originator": "codex_cli_rs",
    "version": "0.171.0",
    "user-agent": "codex_cli_rs/0.171.0",
    "x-codex-beta-features": "f",
    "x-openai-subagent": "review",
    "openai-beta": "responses=experimental",
    "authorization": "Bearer theirs",
    "cookie": "theirs",
    "chatgpt-account-id": "theirs",
}
CLAUDE_SENDS = {
    "accept": "application/json",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "interleaved-thinking-2025-05-14,context-management-2025-06-27",
    "anthropic-dangerous-direct-browser-access": "true",
    "user-agent": "claude-cli/2.1.197 (external, cli)",
    "x-app": "cli",
    "x-stainless-retry-count": "0",
    "x-claude-code-session-id": "01a2",
    "x-api-key": "theirs",
    "authorization": "Bearer theirs",
}


@pytest.mark.parametrize(
    ("agent", "headers", "passed"),
    [
        pytest.param(
            CODEX,
            CODEX_SENDS,
            {
                "authorization": "Bearer sk-provider-key",
                **{name: CODEX_SENDS[name] for name in ("session_id", "originator", "version")},
                **{name: CODEX_SENDS[name] for name in ("x-codex-beta-features", "x-openai-subagent", "openai-beta")},
            },
            id="Codex",
        ),
        pytest.param(
            CLAUDE_CODE,
            CLAUDE_SENDS,
            {
                "x-api-key": "sk-provider-key",
                **{name: CLAUDE_SENDS[name] for name in ("anthropic-version", "anthropic-beta")},
            },
            id="Claude Code",
        ),
    ],
)
def test_provider_gets_the_headers_of_an_agent_that_may_pass_and_no_others(
    recording: Recording, agent: AgentBody, headers: Mapping[str, str], passed: Mapping[str, str]
) -> None:
    answer = HEAD + WIRE_OF[agent.path].stream

    upstream, _ = recording.exchange(agent.path, agent.encode(), answer, headers)

    lines = upstream.request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    pairs = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
    got = {name: value for name, value in pairs if name not in OURS}
    assert len(pairs) == len(dict(pairs))
    assert got == {"content-type": "application/json", **passed}
    assert "theirs" not in upstream.request.decode()
