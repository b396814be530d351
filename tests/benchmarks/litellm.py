"""LiteLLM's proxy, to compare with: one worker, without database, its cost map local, its bytecode compiled.

It is started by an interpreter that has it: `pip install -r tests/benchmarks/litellm-requirements.txt` in an
environment of its own, because what it depends on conflicts.
"""

import compileall
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

START_WITHIN_S, LOOK_EVERY_S = 180.0, 0.2


@contextmanager
def litellm(python: str, provider_url: str) -> Iterator[tuple[int, int]]:
    """Run it for the time of the block, passing on to `provider_url`; yield its process id and port."""
    found = "import litellm, pathlib; print(pathlib.Path(litellm.__file__).parent)"
    told = subprocess.run([python, "-c", found], capture_output=True, text=True, check=True)
    compileall.compile_dir(told.stdout.strip(), quiet=2)  # what it imports later must not be compiled under load
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hb-litellm-") as folder:
        config = Path(folder) / "config.yaml"
        params = {"model": "openai/small-1", "api_base": provider_url, "api_key": "any"}
        # JSON is YAML.
        models = [{"model_name": "small-1", "litellm_params": params}]
        general = {"dangerously_permit_weak_or_unset_master_key": True}  # as the others here, which ask for no key
        config.write_text(json.dumps({"model_list": models, "general_settings": general}))
        environ = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
        environ.pop("DATABASE_URL", None)
        command = [str(Path(python).parent / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _wait(process, port)
                yield process.pid, port
            finally:
                process.kill()


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    ends_at = time.monotonic() + START_WITHIN_S
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health/liveliness", timeout=5).raise_for_status()
        except httpx.HTTPError:
            time.sleep(LOOK_EVERY_S)
        else:
            return
    raise SystemExit("LiteLLM does not answer")
