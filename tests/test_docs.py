"""The documents' commands run, and print what the documents say."""

import ast
import csv
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
from msgspec import structs
from starlette.routing import Match

from hero_broker.core import errors
from hero_broker.core.addresses import ip_key
from hero_broker.kinds.registry import KINDS
from hero_broker.server.router import Router
from hero_broker.store.database import open_database
from tests import forked
from tests.e2e_support import broker, chat
from tests.ledger.rows import row
from tests.server.test_router import routes_of_the_program
from tests.stores import query
from tests.terminal import on_terminal

DOCS = Path(__file__).parent.parent / "docs"
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
BASES = ("/v1", "/v2")  # of URLs; no routes themselves
# What ends a call that has a row, or has no client any more.
NOT_REFUSALS = (errors.ProviderError, errors.InternalError, errors.ClientLeft)
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def test_tutorials_screens_are_what_its_commands_print(tmp_path: Path) -> None:
    text = (DOCS / "tutorial" / "first-bill.md").read_text()
    commands = [command.strip() for command in SHELL.findall(text)]
    shown = re.search(r"```json\n(.*?)\n```", text, re.DOTALL)
    table = re.search(r"```text\n(.*?)```", text, re.DOTALL)

    printed = {}
    with broker(tmp_path / "state", *shlex.split(commands[0])[3:]) as running:
        for command in commands[1:]:
            words = shlex.split(command.replace("http://127.0.0.1:33850", running.url))
            environ = {"HERO_BROKER_URL": running.url}
            printed[command] = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(words, environ))
            running.usage()

    assert commands[0] == "hero-broker serve --fake"
    assert shown is not None
    assert table is not None
    call, by_ip, for_ip, over_rpc, as_table, label, plot, as_csv = printed.values()
    assert '"total_tokens":43' in call
    assert without_times(by_ip) == without_times(shown.group(1))
    assert '"model":"fake-chat"' in for_ip
    assert '"total_cost_usd":0.00002597' in over_rpc
    assert as_table == table.group(1)
    assert label == "127.0.0.0/8 is this machine\n"
    assert "127.0.0.1 (this machine)" in plot
    assert re.search(
        r"^[^,]+,\d+,\d+,127\.0\.0\.1,fake-chat,this machine,1,.*,0\.00002597,25970,", as_csv, re.MULTILINE
    )


def without_times(text: str) -> str:
    return re.sub(r'"(first_seen|last_seen|as_of)":\d+', r'"\1":0', text).strip()


def test_links_between_documents_lead_somewhere() -> None:
    root = DOCS.parent
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in [root / "README.md", *DOCS.rglob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)", CODE.sub("", page.read_text()))
        if not target.startswith("http") and not (page.parent / target).exists()
    ]

    assert broken == []


HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_to_headings_lead_to_one() -> None:
    root = DOCS.parent
    links = [
        (page, target, anchor)
        for page in [root / "README.md", *DOCS.rglob("*.md")]
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", CODE.sub("", page.read_text()))
    ]
    broken = [
        f"{page.relative_to(root)}: {target}#{anchor}"
        for page, target, anchor in links
        if anchor not in anchors(page.parent / target if target else page)
    ]

    assert len(links) > 60
    assert broken == []


TEST_NAME = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def test_tests_that_documents_name_are_there() -> None:
    pages = [DOCS.parent / "SECURITY.md", *DOCS.rglob("*.md")]
    named = {found for page in pages for found in TEST_NAME.findall(page.read_text())}
    missing = []
    for path, name in sorted(named):
        file = DOCS.parent / path
        text = file.read_text() if file.exists() else ""
        if not text or (name and not re.search(rf"^def {name}\(", text, re.MULTILINE)):
            missing.append(f"{path}::{name}")

    assert len(named) > 50
    assert missing == []


MODULE = re.compile(r"`((?:hero_broker/)?[a-z_]+(?:/[\w]+)+\.(?:py|toml))`")
MEMBER = re.compile(r"`([A-Z]\w*[a-z]\w*)\.(\w+)`")
EXPLAIN_CODE = ("contributing/architecture.md", "contributing/glossary.md", "explanation/path-of-a-request.md")


def test_modules_and_methods_that_documents_name_are_there() -> None:
    root = DOCS.parent
    program = root / "hero_broker"
    methods = {
        (node.name, one.name)
        for path in program.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for one in node.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    text = "".join((DOCS / page).read_text() for page in EXPLAIN_CODE)
    modules, members = set(MODULE.findall(text)), set(MEMBER.findall(text))

    assert len(modules) > 40
    assert sorted(name for name in modules if not (program / name).exists() and not (root / name).exists()) == []
    assert len(members) > 8
    assert members - methods == set()


ROUTE = re.compile(r"\b(GET|HEAD|POST|PUT|PATCH|DELETE) (/[\w./{}:-]*[\w}/])")
OUR_PATH = re.compile(r"`(/(?:v1|v2|rpc|billing|admin|metrics|health|openrpc|openapi)(?:[/.][\w./{}:-]*)?)`")
STORED = {(one.spec.verb.upper(), one.spec.path) for kind in KINDS.values() for one in kind.stored_requests}
GUIDE_TO_KINDS = "add-a-kind.md"  # adds a route that the program does not have; its own test adds it, too


def is_served(router: Router, method: str | None, path: str) -> bool:
    """Return whether the program has the route; with None for `method`, whether it has the path."""
    if path in router.hot:
        return method in ("POST", None)
    if (method, path) in STORED or (method is None and path in {stored for _, stored in STORED}):
        return True
    scope = {"type": "http", "method": method or "GET", "path": path, "root_path": "", "headers": []}
    matches = [route.matches(scope)[0] for route in router.others.routes]
    return Match.FULL in matches or (method is None and Match.PARTIAL in matches)


def test_routes_that_documents_name_are_there() -> None:
    root = DOCS.parent
    router = routes_of_the_program()
    names: set[tuple[str, str | None, str]] = set()
    for page in [root / "README.md", root / "SECURITY.md", root / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        if page.name != GUIDE_TO_KINDS:
            text = page.read_text()
            names |= {(page.name, method, path) for method, path in ROUTE.findall(text)}
            names |= {(page.name, None, path) for path in OUR_PATH.findall(text) if path not in BASES}

    assert len({(method, path) for _, method, path in names}) > 40
    assert [name for name in sorted(names, key=str) if not is_served(router, *name[1:])] == []


def test_statuses_without_a_row_are_those_of_all_refusals() -> None:
    text = (DOCS / "explanation" / "ledger.md").read_text()
    listed = re.search(r"refused before a provider is asked \(([\d, ]+)\) has no row", text)
    refusals = {
        error.status
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.BrokerError) and not issubclass(error, NOT_REFUSALS)
    }

    assert listed is not None
    assert listed.group(1).split(", ") == [str(status) for status in sorted(refusals - {errors.BrokerError.status})]


def test_each_promise_of_the_ledger_names_tests() -> None:
    text = (DOCS / "explanation" / "reliability.md").read_text()
    table = text.partition("## Promises")[2].partition("\n## ")[0]
    shown = {
        line.split("|")[1].strip(): len(TEST_NAME.findall(line)) for line in table.splitlines() if "`tests/" in line
    }

    assert list(shown) == [str(number) for number in range(1, 9)]
    assert min(shown.values()) >= 3


def test_dependencies_page_names_each_dependency() -> None:
    page = (DOCS / "explanation" / "dependencies.md").read_text()
    project = (DOCS.parent / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("]")[0]

    missing = [name for name in re.findall(r'"([a-z0-9.-]+)', project) if f"`{name}`" not in page]

    assert missing == []


def test_backup_in_the_operators_guide_is_a_copy_of_the_running_ledger(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "operate.md").read_text()
    command = next(command for command in SHELL.findall(text) if "/backup/" in command)
    words = shlex.split(command.replace("/backup/", f"{tmp_path}/"))

    with broker(tmp_path / "state") as running:
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        running.usage()
        environ = {**os.environ, "HERO_BROKER_STATE_DIR": str(tmp_path / "state")}
        ended = forked.run(words[1:], environ, tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "1 row, 0.00002597 USD: the same in both ledgers"
    assert query(f"sqlite:///{tmp_path}/ledger.db", "SELECT sum(cost_nano_usd) FROM request_logs") == [(25_970,)]


def test_every_call_in_the_guide_is_answered_and_billed(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "call.md").read_text()
    kinds = {
        "chat": 4,
        "completion": 1,
        "embedding": 1,
        "tts": 1,
        "stt": 2,
        "rerank": 2,
        "moderation": 1,
        "messages": 2,
        "responses": 4,
    }
    url = f"sqlite:///{tmp_path}/ledger.db"

    with broker(tmp_path / "state", HERO_BROKER_DATABASE_URL=url) as running:
        for example in SHELL.findall(text):
            command = example.replace("http://127.0.0.1:33850", running.url)
            if "RESPONSE_ID" in command:
                running.usage()
                latest = "SELECT response_id FROM responses ORDER BY request_id DESC LIMIT 1"
                command = command.replace("RESPONSE_ID", query(url, latest)[0][0])
            if "REQUEST_ID" in command:
                running.usage()
                newest = query(url, "SELECT max(request_id) FROM request_logs")[0][0]
                command = command.replace("REQUEST_ID", newest)
            words = [*shlex.split(command), "--fail-with-body"]
            ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
        found = query(url, "SELECT kind, count(*) FROM request_logs WHERE outcome = 'ok' GROUP BY kind")

    assert dict(found) == kinds
    assert '"exact_usd"' in ended.stdout


def test_guide_to_tools_shows_the_cost_by_context(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "set-up-your-tool.md").read_text()
    (command,) = (command for command in SHELL.findall(text) if command.startswith("hero-broker "))

    with broker(tmp_path / "state") as running:
        for context in ("codex", "codex", "aider"):
            headers = {"x-hero-context": context}
            httpx.post(f"{running.url}/v1/chat/completions", json=chat(), headers=headers).raise_for_status()
        running.usage()
        ended = forked.run([*shlex.split(command)[1:], "--url", running.url], directory=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^codex .* 0\.00005194$", ended.stdout, re.MULTILINE)
    assert re.search(r"^aider .* 0\.00002597$", ended.stdout, re.MULTILINE)


def test_commands_of_the_guide_to_billing_answer_what_it_says(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "bill.md").read_text()
    last_month = datetime.now(UTC).replace(day=1) - timedelta(days=15)
    at = int(last_month.timestamp())
    call = row(ip="127.0.0.1", ip_key=ip_key("127.0.0.1"), started_at=at, cost_nano_usd=25_970)
    printed: dict[str, str] = {}

    with broker(tmp_path / "state") as running, open_database(f"sqlite:///{tmp_path}/state/hero-broker.db") as database:
        database.append([call], [])
        for example in SHELL.findall(text):
            command = example.strip().replace("2026-11", f"{last_month:%Y-%m}")
            if "/billing/unbilled" in command:  # of which there is one call again
                database.append([structs.replace(call, request_id="another")], [])
            words = shlex.split(command.replace("http://127.0.0.1:33850", running.url).replace("1}", "2}"))
            if words[0] == "hero-broker":
                answered = ["--yes"] if words[1] == "close" else []
                ended = forked.run([*words[1:], *answered, "--url", running.url], directory=tmp_path)
            else:
                words.append("--fail-with-body")
                ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
            assert ended.returncode == 0, ended.stderr + ended.stdout
            printed[example.strip().replace("http://127.0.0.1:33850", "")] = ended.stdout

    assert len(printed) == 27
    for command, answer in printed.items():
        if "/billing/" in command and "text/csv" not in command:
            assert '"total_cost_usd":0.00002597,' in answer, command
        elif "/billing/focus" in command or "--focus" in command:
            costs = [Decimal(line["BilledCost"]) for line in csv.DictReader(answer.splitlines())]
            assert sum(costs) == Decimal("0.00002597")
        elif "text/csv" in command:
            (line,) = csv.DictReader(io.StringIO(answer.removeprefix("\ufeff")))
            assert "0.00002597" in (line.get("cost_usd"), line.get("total_cost_usd"))
    closed = printed["hero-broker close 2026-11 --tz Europe/Zurich"]
    assert closed.endswith(f"Closed: {last_month:%Y-%m}, 1 request, 0.00002597 USD.\n")
    assert "0.00002597" in printed["hero-broker usage --by label,model --where period=2026-11"]
    assert printed["hero-broker verify"] == "2 rows, 0 differences\n"
    assert printed["hero-broker rebuild"] == "roll-ups rebuilt, up to seq 2\n"


def test_guide_to_departments_prints_their_bill(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "departments.md").read_text()
    config, file = (re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("toml", "csv"))
    assert config is not None
    assert file is not None
    # The machines' calls come by a proxy: this machine has no addresses of theirs.
    with_proxy = config.group(1).replace("[server]\n", '[server]\ntrusted_proxies = ["127.0.0.1"]\n')
    issuer = re.search(r"```toml\n(\[statements\]\n.*?)```", text, re.DOTALL)
    assert issuer is not None
    (tmp_path / "hero-broker.toml").write_text(with_proxy + issuer.group(1))
    (tmp_path / "departments.csv").write_text(file.group(1))
    secrets = {"ADMIN_TOKEN": "token-of-this-test", "GROQ_API_KEY": "gsk_0123456789"}
    machines = ["10.77.1.11"] * 2 + ["10.77.1.12"] + ["10.77.2.11"] * 2 + ["10.77.2.17", "10.77.3.11"]
    printed = {}

    arguments = ("--config", str(tmp_path / "hero-broker.toml"))
    with broker(tmp_path / "state", *arguments, **secrets) as running:
        for machine in machines:
            headers = {"x-forwarded-for": machine}
            httpx.post(f"{running.url}/v1/chat/completions", json=chat(), headers=headers).raise_for_status()
        running.usage()
        environ = {**os.environ, **secrets, "HERO_BROKER_URL": running.url}
        for command in SHELL.findall(text):
            words = shlex.split(command.replace("statement --month last", "statement --month this"))  # with calls
            answered = ["--yes"] if words[1] == "close" else []
            ended = forked.run([*words[1:], *answered], environ, tmp_path)
            assert ended.returncode == 0, ended.stderr
            printed[command.strip()] = "".join(f"{line.rstrip()}\n" for line in ended.stdout.splitlines())

    imported, by_label, unnamed, of_design, as_csv, plot, exported, closed, statements, statement = printed.values()
    assert re.findall(r"```text\n(.*?)```", text, re.DOTALL)[:2] == [imported, by_label]
    assert [line.split()[0] for line in unnamed.splitlines()] == ["ip", "10.77.3.11", "total"]
    assert [line.split()[0] for line in of_design.splitlines()] == ["ip", "10.77.2.11", "total"]
    assert as_csv.startswith("\ufeffbucket,bucket_start,bucket_end,label,model,requests,")
    assert "(no label)" in plot
    assert exported == file.group(1)
    assert " 0 requests, 0 USD." in closed
    assert [path.rpartition("-")[2] for path in statements.splitlines()] == [
        *("label.html", "Design.html", "Research.html", "Sales.html"),
    ]
    assert statement == "research.html\n"
    written = [tmp_path / path for path in (*statements.splitlines(), "research.html")]
    assert all("Example Ltd, AI gateway" in path.read_text() for path in written)
    assert written[2].read_text() == written[4].read_text()


def test_python_examples_print_the_bill(tmp_path: Path) -> None:
    text = (DOCS / "how-to" / "ask-from-python.md").read_text()
    printed = []

    with broker(tmp_path / "state") as running:
        httpx.post(f"{running.url}/v1/chat/completions", json=chat()).raise_for_status()
        running.usage()
        for example in PYTHON.findall(text):
            code = example.replace("http://127.0.0.1:33850", running.url)
            command = [sys.executable, "-W", "error", "-c", code]
            printed.append(subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout)

    assert len(printed) == 3
    assert printed[0] == "127.0.0.1 None 1 0.00002597\n"
    assert printed[1].endswith(" fake-chat 0.00002597\n")
    assert printed[2].splitlines()[0].endswith(" ok")
    assert printed[2].splitlines()[1].endswith(" 127.0.0.1 0.00002597")
