"""The container file's commands install a broker that starts, tells its health, and stops in order."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.ecosystem.container import below, last, lines
from tests.ecosystem.place import INSTALLED
from tests.waits import wait_until

PORT = "33850"


@pytest.fixture
def image() -> Path:
    """Where `tests/ecosystem/run` carried out the COPY and RUN lines."""
    return Path(os.environ[INSTALLED]) / "container"


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def words(image: Path, text: str, port: str) -> list[str]:
    return [word.replace(PORT, port) for word in json.loads(below(image, text))]


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").is_success
    except httpx.TransportError:
        return False


def test_broker_of_the_image_is_healthy_bills_into_its_volume_and_stops_in_order(image: Path) -> None:
    port = free_port()
    name, _, value = below(image, last("ENV")).partition("=")
    environ = {"PATH": os.environ["PATH"], name: value, "ADMIN_TOKEN": "secret", "OPENAI_API_KEY": "any"}
    check = words(image, last("HEALTHCHECK").partition("CMD ")[2], port)
    command = words(image, last("ENTRYPOINT"), port) + words(image, last("CMD"), port)
    url = f"http://127.0.0.1:{port}"

    with subprocess.Popen(command, env=environ, cwd=below(image, last("WORKDIR")), stderr=subprocess.DEVNULL) as broker:
        try:
            wait_until(lambda: answers(url) or broker.poll() is not None)
            healthy = subprocess.run(check, timeout=30, check=False).returncode
            open_to_all = httpx.get(f"{url}/billing/usage").status_code
            usage = httpx.get(f"{url}/billing/usage", headers={"authorization": "Bearer secret"}).status_code
        finally:
            broker.terminate()
        ended = broker.wait(30)
    later = subprocess.run(check, timeout=30, stderr=subprocess.DEVNULL, check=False).returncode

    assert (healthy, open_to_all, usage, ended) == (0, 401, 200, 0)
    assert later != 0
    assert value == below(image, last("VOLUME"))
    assert (Path(value) / "hero-broker.db").is_file()
    assert Path(value).stat().st_mode & 0o777 == 0o700


def test_image_runs_as_a_user_who_is_not_root_and_owns_the_volume() -> None:
    user, _, group = last("USER").partition(":")

    assert int(user) > 0
    assert int(group) > 0
    assert f"--owner {user} --group {group} {last('VOLUME')}" in last("RUN")


def test_no_layer_has_a_secret_or_a_file_that_is_not_named() -> None:
    copied = [rest.split()[:-1] for name, rest in lines() if name == "COPY" and not rest.startswith("--from=")]

    assert copied == [["pyproject.toml", "README.md", "LICENSE", "openrpc.json"], ["hero_broker"]]
    for name, rest in lines():
        assert name != "ARG"
        assert not re.search("key|token|secret|password", rest, re.IGNORECASE)


def test_port_is_the_same_in_every_line() -> None:
    assert [last("EXPOSE")] == [PORT]
    for name in ("CMD", "HEALTHCHECK"):
        assert re.findall(r":(\d+)", last(name)) == [PORT]
