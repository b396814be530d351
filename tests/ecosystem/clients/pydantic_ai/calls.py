"""Runs of Pydantic AI with its own defaults; the arguments name a model and a run, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

import asyncio
import json
import sys

from pydantic_ai import Agent

AGENT = Agent(sys.argv[1])


@AGENT.tool_plain
def look(place: str) -> str:
    """Look at a place."""
    return f"nothing in {place}"


async def run() -> object:
    ended = await AGENT.run("how is the work")
    usage = ended.usage() if callable(ended.usage) else ended.usage
    return {"text": ended.output, "tokens": [usage.input_tokens, usage.output_tokens]}


async def stream() -> object:
    async with AGENT.run_stream("how is the work") as running:
        text = "".join([piece async for piece in running.stream_text(delta=True)])
        usage = running.usage() if callable(running.usage) else running.usage
    return {"text": text, "tokens": [usage.input_tokens, usage.output_tokens]}


if __name__ == "__main__":
    (asked,) = (call for call in (run, stream) if call.__name__ == sys.argv[2])
    json.dump(asyncio.run(asked()), sys.stdout)
