// Calls of OpenAI's Node client; the first argument names one, whose result is printed as JSON.

import { createReadStream } from "node:fs";
import OpenAI from "openai";

const client = new OpenAI();
const messages = [{ role: "user", content: Array(40).fill("word").join(" ") }];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return {
    text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    usages: chunks
      .filter((chunk) => chunk.usage)
      .map((chunk) => [chunk.choices.length, chunk.usage.prompt_tokens, chunk.usage.completion_tokens]),
  };
}

const calls = {
  async chat() {
    const answer = await client.chat.completions.create({ model: "fake-chat", messages });
    return {
      text: answer.choices[0].message.content,
      tokens: [answer.usage.prompt_tokens, answer.usage.completion_tokens],
      has_request_id: Boolean(answer._request_id),
    };
  },

  async stream() {
    return collect(await client.chat.completions.create({ model: "fake-chat", messages, stream: true }));
  },

  async stream_with_usage() {
    const stream_options = { include_usage: true };
    return collect(await client.chat.completions.create({ model: "fake-chat", messages, stream: true, stream_options }));
  },

  async tools() {
    const answer = await client.chat.completions.create({
      model: "fake-chat",
      messages: [{ role: "user", content: "what is the weather" }],
      tools: [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }],
      tool_choice: "required",
    });
    return answer.choices[0].message.tool_calls.map((call) => call.function);
  },

  // The client asks for base64 by itself.
  async embeddings() {
    const answer = await client.embeddings.create({ model: "fake-embedding", input: ["one two", "three"] });
    return answer.data.map((item) => item.embedding);
  },

  async embeddings_as_floats() {
    const answer = await client.embeddings.create({
      model: "fake-embedding",
      input: ["one two", "three"],
      encoding_format: "float",
    });
    return answer.data.map((item) => item.embedding);
  },

  async moderation() {
    const named = await client.moderations.create({ model: "fake-moderation", input: ["do harm", "do good"] });
    const unnamed = await client.moderations.create({ input: [{ type: "text", text: "be kind" }] });
    return [named, unnamed].map((answer) => answer.results.map((item) => item.flagged));
  },

  async speech() {
    const answer = await client.audio.speech.create({ model: "fake-tts", voice: "alloy", input: "Hello there" });
    return Buffer.from(await answer.arrayBuffer()).toString("latin1", 0, 4);
  },

  async transcription() {
    const file = createReadStream("speech.wav");
    return (await client.audio.transcriptions.create({ model: "fake-stt", file })).text;
  },

  async response() {
    const answer = await client.responses.create({ model: "gpt-5-codex", input: "how is the work" });
    return { text: answer.output_text, tokens: [answer.usage.input_tokens, answer.usage.output_tokens] };
  },

  async response_stream() {
    const events = client.responses.stream({ model: "gpt-5-codex", input: "how is the work" });
    let text = "";
    for await (const event of events) if (event.type === "response.output_text.delta") text += event.delta;
    const answer = await events.finalResponse();
    return { text, tokens: [answer.usage.input_tokens, answer.usage.output_tokens] };
  },

  async response_parsed() {
    const schema = { type: "object", properties: { state: { type: "string" } } };
    const format = { type: "json_schema", name: "report", schema };
    const answer = await client.responses.parse({ model: "gpt-5-codex", input: "how is the work", text: { format } });
    return JSON.parse(answer.output_text).state;
  },

  async response_compacted() {
    const answer = await client.responses.compact({ model: "gpt-5-codex", input: "how is the work" });
    return { types: answer.output.map((item) => item.type), tokens: answer.usage.input_tokens };
  },

  async response_tokens() {
    return (await client.responses.inputTokens.count({ model: "gpt-5-codex", input: "how is the work" })).input_tokens;
  },

  async response_stored() {
    const model = "fake-chat";
    const first = await client.responses.create({ model, input: "one two" });
    const events = client.responses.stream({ model, input: "three", previous_response_id: first.id });
    const second = await events.finalResponse();
    const items = [];
    for await (const item of client.responses.inputItems.list(second.id)) items.push(item);
    const found = await client.responses.retrieve(second.id);
    await client.responses.delete(second.id);
    const failures = [];
    for (const attempt of [
      () => client.responses.create({ model, input: "four", previous_response_id: second.id }),
      () => client.responses.retrieve(second.id),
    ]) {
      await attempt().catch((error) => failures.push([error.status, error.code]));
    }
    return { texts: [first, second, found].map((one) => one.output_text), items: items.length, failures };
  },

  async models() {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model.id);
    return { listed, retrieved: (await client.models.retrieve("fake-chat")).id };
  },

  async unknown_model() {
    try {
      await client.chat.completions.create({ model: "no-such-model", messages });
    } catch (error) {
      if (error instanceof OpenAI.NotFoundError) return { code: error.code, param: error.param };
      throw error;
    }
    throw new Error("There is no such model.");
  },

  async refused() {
    try {
      await client.responses.create({ model: "gpt-5-codex", input: "hello" });
    } catch (error) {
      return { class: error.constructor.name, status: error.status, code: error.code, message: error.message };
    }
    throw new Error("A limit refuses every call.");
  },
};

process.stdout.write(JSON.stringify(await calls[process.argv[2]]()));
