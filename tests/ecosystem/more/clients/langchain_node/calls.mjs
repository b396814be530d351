// Calls of LangChain's JavaScript packages; the first argument names one, whose result is printed as JSON.

import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";

const models = {
  codex: () => new ChatOpenAI({ model: "gpt-5-codex", configuration: { baseURL: process.env.OPENAI_BASE_URL } }),
  claude: () => new ChatAnthropic({ model: "claude-sonnet-4-5", anthropicApiUrl: process.env.ANTHROPIC_BASE_URL }),
};
const schema = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
const look = tool(({ place }) => `nothing in ${place}`, { name: "look", description: "Look at a place.", schema });

const calls = {
  async loop(model) {
    const bound = model.bindTools([look]);
    const messages = [new HumanMessage("how is the work")];
    const asked = await bound.invoke(messages);
    const results = [];
    for (const call of asked.tool_calls) results.push(await look.invoke(call));
    const answer = await bound.invoke([...messages, asked, ...results]);
    return { text: answer.text, results: results.map((result) => result.content) };
  },

  async stream(model) {
    let text = "";
    for await (const chunk of await model.stream("how is the work")) text += chunk.text;
    return text;
  },
};

const [name, call] = process.argv[2].split("_");
process.stdout.write(JSON.stringify(await calls[call](models[name]())));
