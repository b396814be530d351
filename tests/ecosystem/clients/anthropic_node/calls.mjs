// Calls of Anthropic's Node client; the first argument names one, whose result is printed as JSON.

import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic();
const asked = { model: "claude-sonnet-4-5", max_tokens: 100, messages: [{ role: "user", content: "how is the work" }] };

const calls = {
  async message() {
    const answer = await client.messages.create(asked);
    return { text: answer.content[0].text, tokens: [answer.usage.input_tokens, answer.usage.output_tokens] };
  },

  async stream() {
    const events = client.messages.stream(asked);
    let text = "";
    events.on("text", (piece) => (text += piece));
    const answer = await events.finalMessage();
    return { text, tokens: [answer.usage.input_tokens, answer.usage.output_tokens] };
  },

  async count() {
    return (await client.messages.countTokens({ model: asked.model, messages: asked.messages })).input_tokens;
  },

  async refused() {
    try {
      await client.messages.create(asked);
    } catch (error) {
      const code = error.error.error.type;
      return { class: error.constructor.name, status: error.status, code, message: error.message };
    }
    throw new Error("A limit refuses every call.");
  },

  async models() {
    const listed = [];
    for await (const model of client.models.list({ limit: 5 })) listed.push(model.id);
    return { listed, retrieved: (await client.models.retrieve(asked.model)).type };
  },
};

process.stdout.write(JSON.stringify(await calls[process.argv[2]]()));
