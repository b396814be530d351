// Asks a broker by the client that was generated beside this file, and prints the answers.
import { Client, HTTPTransport, RequestManager } from "@open-rpc/client-js";
import HeroBrokerAdmin from "./client/typescript/src/index";

const url = new URL(process.env.BROKER_URL ?? "");
const admin = new HeroBrokerAdmin({
  transport: { type: "http", host: url.hostname, port: Number(url.port), path: "/rpc" },
});
const headers = { authorization: `Bearer ${process.env.ADMIN_TOKEN}` };
admin.rpc = new Client(new RequestManager([new HTTPTransport(`${url.origin}/rpc`, { headers })]));

async function answers() {
  const byIp = await admin["billing.usage_by_ip"]();
  const forIp = await admin["billing.usage_for_ip"]("127.0.0.1", null, 4102444800);
  const report = await admin["billing.usage"](["model", "kind"], null, null, "day", "Europe/Berlin", null);
  const elsewhere = await admin["billing.usage"](["ip"], null, null, null, null, { prefix: "192.0.2.0/24" });
  const newest = await admin["billing.requests"](null, null, null, 1);
  const explained = await admin["billing.request"](newest.data[0].request_id);
  const set = await admin["labels.set"]("127.0.0.0/8", "loopback");
  const labelled = await admin["labels.list"]();
  const removed = await admin["labels.remove"]("127.0.0.0/8");
  const left = await admin["labels.list"]();
  const refused = await admin["labels.remove"]("127.0.0.0/8").catch(({ code, message }) => [code, message]);
  const health = await admin["system.health"]();
  const models = await admin["models.list"]();
  return {
    methods: Object.keys(admin).filter((name) => name.includes(".")),
    by_ip: byIp.data.map(({ ip, total_cost_nano_usd }) => [ip, total_cost_nano_usd]),
    for_ip: forIp.data.models.map(({ model, total_tokens, total_cost_nano_usd }) => [
      model,
      total_tokens,
      total_cost_nano_usd,
    ]),
    report: report.data.map(({ group, total_cost_nano_usd }) => [group, total_cost_nano_usd]),
    elsewhere: [elsewhere.data.length, elsewhere.totals.total_cost_nano_usd],
    exact_usd: explained.data.cost.exact_usd,
    set: [set.data.target, set.data.label],
    labelled: labelled.data.map(({ target, label }) => [target, label]),
    removed: removed.data.label,
    left: left.data,
    refused,
    health: [health.status, health.journal_pending],
    rates: models.data.find(({ model }) => model === "fake-chat")?.price?.rates?.input_per_million,
  };
}

answers().then((found) => console.log(JSON.stringify(found)));
