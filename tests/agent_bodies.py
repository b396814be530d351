"""Bodies of requests as coding agents and client libraries send them: their members, their order, their spelling.

The shapes are those of recorded requests; the texts are made up. JavaScript and recent Python clients write JSON
without spaces, older Python clients with them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

LONG_TEXT = "Read each file before you change it. Say what you did.\n" * 24
COMPACT, SPACED = (",", ":"), (", ", ": ")


@dataclass(frozen=True, slots=True)
class AgentBody:
    """A request of a tool."""

    path: str
    members: Mapping[str, object]  # those of a request to the model "m"
    separators: tuple[str, str] = COMPACT
    is_ascii: bool = False  # it escapes what is not in ASCII

    def encode(self, model: str = "m") -> bytes:
        """Return the request's bytes."""
        members = {**self.members, "model": model}
        return json.dumps(members, separators=self.separators, ensure_ascii=self.is_ascii).encode()


def _function(name: str) -> dict[str, object]:
    properties = {
        "path": {"type": "string", "description": LONG_TEXT},
        "limit": {"type": "number", "minimum": 1e-3, "default": 1.0},
        "model": {"type": "string"},
        "api_key": {"type": "string", "description": "A name that the broker drops at the top, and only there."},
    }
    schema = {"type": "object", "properties": properties, "required": ["path"], "additionalProperties": False}
    return {"type": "function", "name": name, "description": LONG_TEXT, "strict": False, "parameters": schema}


_CODEX_TOOLS = [
    *(_function(name) for name in ("shell", "update_plan", "view_image", "request_user_input")),
    {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "a: /b\\n/"},
    },
    {"type": "namespace", "name": "agents", "tools": [_function(name) for name in ("spawn", "send", "wait", "close")]},
    {"type": "web_search", "external_web_access": True, "search_content_types": ["text", "image"]},
]
CODEX = AgentBody(
    "/v1/responses",
    {
        "model": "m",
        "instructions": LONG_TEXT * 4,
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": LONG_TEXT * 2}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "grüezi 👋\u2028 \x7f"}]},
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "gAAAAABo" + "x" * 2000},
            {"type": "function_call", "name": "shell", "arguments": '{"path":"a"}', "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "total 0\n\x1b[0m"},
            {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin Patch", "call_id": "call_2"},
        ],
        "tools": _CODEX_TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "01a22b9a-ae3b-79a1-97ad-04a6fc2259a1",
        "text": {"verbosity": "low"},
        "client_metadata": {"x-codex-installation-id": "7c0f"},
    },
)

_CACHED = {"type": "ephemeral"}
CLAUDE_CODE = AgentBody(
    "/v1/messages",
    {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>\nToday is a Monday.\n</system-reminder>"},
                    {"type": "text", "text": "say hi 👋", "cache_control": _CACHED},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "They greet.", "signature": "EqQBCkYIB" + "A" * 300},
                    {"type": "redacted_thinking", "data": "EmwKAhgB"},
                    {
                        "type": "tool_use",
                        "id": "toolu_1",
                        "name": "Bash",
                        "input": {"command": "ls", "timeout": 120000},
                    },
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "is_error": False,
                        "content": [{"type": "text", "text": "a\tb"}],
                        "cache_control": {**_CACHED, "ttl": "1h"},
                    }
                ],
            },
        ],
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cch=0a1b2;"},
            {"type": "text", "text": LONG_TEXT * 20, "cache_control": {**_CACHED, "ttl": "1h"}},
        ],
        "tools": [
            {"name": name, "description": LONG_TEXT, "input_schema": {"$schema": "http://json-schema.org/draft-07"}}
            for name in ("Task", "Bash", "Read", "Edit")
        ],
        "metadata": {"user_id": "user_0a_account__session_1b"},
        "max_tokens": 32000,
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "stream": True,
    },
)

AI_SDK_RESPONSES = AgentBody(
    "/v1/responses",
    {
        "model": "m",
        "input": [
            {"role": "system", "content": "You help."},
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "hello"}], "id": "msg_1"},
        ],
        "text": {"format": {"type": "json_schema", "strict": True, "name": "response", "schema": {"type": "object"}}},
        "tools": [_function("weather")],
        "tool_choice": {"type": "function", "name": "weather"},
        "stream": True,
    },
)
AI_SDK_MESSAGES = AgentBody(
    "/v1/messages",
    {
        "model": "m",
        "max_tokens": 4096,
        "temperature": 0,
        "system": [{"type": "text", "text": "You help."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "tools": [{"name": "json", "description": "Respond.", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "json", "disable_parallel_tool_use": True},
    },
)
LANGCHAIN_RESPONSES = AgentBody(
    "/v1/responses",
    {
        "input": [{"content": "What is 2 + 2?", "role": "user", "type": "message"}],
        "model": "m",
        "reasoning": {"effort": "medium", "summary": "auto"},
        "tools": [{"type": "web_search_preview"}],
        "stream": False,
    },
)
OPENAI_AGENTS = AgentBody(
    "/v1/responses",
    {
        "include": [],
        "input": [{"content": "hi", "role": "user"}],
        "instructions": "Answer in one word.",
        "model": "m",
        "parallel_tool_calls": False,
        "tools": [_function("add")],
        "top_p": 0.1,
    },
)
PYDANTIC_AI_RESPONSES = AgentBody(
    "/v1/responses",
    {
        "input": [{"role": "user", "content": "grüezi"}],
        "model": "m",
        "include": ["reasoning.encrypted_content"],
        "instructions": "Be concise.",
        "text": {"format": {"type": "text"}},
        "tool_choice": "required",
        "tools": [_function("final_result")],
    },
    SPACED,
    is_ascii=True,
)
PYDANTIC_AI_MESSAGES = AgentBody(
    "/v1/messages",
    {
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"text": "grüezi 👋", "type": "text"}]}],
        "model": "m",
        "system": "Be concise.",
        "tool_choice": {"type": "auto"},
        "tools": [{"name": "f", "description": "", "input_schema": {"type": "object", "properties": {}}}],
    },
    SPACED,
    is_ascii=True,
)

AGENT_BODIES = {
    "Codex": CODEX,
    "Claude Code": CLAUDE_CODE,
    "AI SDK, Responses": AI_SDK_RESPONSES,
    "AI SDK, Messages": AI_SDK_MESSAGES,
    "LangChain, Responses": LANGCHAIN_RESPONSES,
    "OpenAI Agents": OPENAI_AGENTS,
    "Pydantic AI, Responses": PYDANTIC_AI_RESPONSES,
    "Pydantic AI, Messages": PYDANTIC_AI_MESSAGES,
}
