"""Runs of OpenAI's agents with their own defaults; the first argument names one, whose result is printed as JSON."""
# mypy: disable-error-code="import-not-found,misc,untyped-decorator"

import asyncio
import json
import sys

from agents import Agent, Runner, function_tool, set_tracing_disabled


@function_tool
def look(place: str) -> str:
    """Look at a place."""
    return f"nothing in {place}"


AGENT = Agent(name="worker", instructions="Work.", model="gpt-5-codex", tools=[look])


async def run() -> object:
    ended = await Runner.run(AGENT, "how is the work")
    usage = ended.context_wrapper.usage
    return {"text": ended.final_output, "tokens": [usage.input_tokens, usage.output_tokens]}


async def stream() -> object:
    running = Runner.run_streamed(AGENT, "how is the work")
    async for _ in running.stream_events():
        continue
    usage = running.context_wrapper.usage
    return {"text": running.final_output, "tokens": [usage.input_tokens, usage.output_tokens]}


if __name__ == "__main__":
    set_tracing_disabled(True)
    (asked,) = (call for call in (run, stream) if call.__name__ == sys.argv[1])
    json.dump(asyncio.run(asked()), sys.stdout)
