// Calls of Vercel's AI SDK with its own defaults; the first argument names one, whose result is printed as JSON.

import { createAnthropic } from "@ai-sdk/anthropic";
import { openai } from "@ai-sdk/openai";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";

// Unlike Anthropic's own client, this one wants `/v1`.
const anthropic = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1` });
const prompt = "how is the work";
const look = tool({
  inputSchema: jsonSchema({ type: "object", properties: { place: { type: "string" } } }),
  execute: async ({ place }) => `nothing in ${place}`,
});

async function text(model) {
  const answer = await generateText({ model, prompt });
  return { text: answer.text, tokens: [answer.usage.inputTokens, answer.usage.outputTokens] };
}

async function stream(model) {
  const answer = streamText({ model, prompt });
  let text = "";
  for await (const piece of answer.textStream) text += piece;
  const usage = await answer.usage;
  return { text, tokens: [usage.inputTokens, usage.outputTokens] };
}

async function loop(model) {
  const answer = await generateText({ model, prompt, tools: { look }, stopWhen: stepCountIs(3) });
  return { text: answer.text, results: answer.steps.flatMap((step) => step.toolResults.map((one) => one.output)) };
}

const calls = {
  openai_text: () => text(openai("gpt-5-codex")),
  openai_stream: () => stream(openai("gpt-5-codex")),
  openai_loop: () => loop(openai("gpt-5-codex")),
  anthropic_text: () => text(anthropic("claude-sonnet-4-5")),
  anthropic_stream: () => stream(anthropic("claude-sonnet-4-5")),
  anthropic_loop: () => loop(anthropic("claude-sonnet-4-5")),

  async openai_object() {
    const schema = jsonSchema({
      type: "object",
      properties: { state: { type: "string" } },
      required: ["state"],
      additionalProperties: false,
    });
    return (await generateText({ model: openai("gpt-5-codex"), prompt, output: Output.object({ schema }) })).output.state;
  },
};

process.stdout.write(JSON.stringify(await calls[process.argv[2]]()));
