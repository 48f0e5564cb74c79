// What a TypeScript application does: prints one JSON document about it, for the test that runs this.
// node typescript_sdk.mjs FOLDER_OF_THE_SDK BASE_URL MODEL
import { createRequire } from "node:module";

const [sdk, baseURL, model] = process.argv.slice(2);
const { default: Anthropic } = createRequire(import.meta.url)(sdk);
const client = new Anthropic({ baseURL, apiKey: "any", maxRetries: 0 });

const tools = [
  {
    name: "weather",
    description: "Today's weather in a city.",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];
const asking = (text) => [{ role: "user", content: text }];
const textOf = (message) => message.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");

async function create() {
  const { data, response } = await client.messages
    .create({ model, max_tokens: 100, messages: asking("Hello") })
    .withResponse();
  return { text: textOf(data), stop: data.stop_reason, requestId: response.headers.get("request-id") };
}

async function stream() {
  let streamed = "";
  let pieces = 0;
  const events = [];
  const running = client.messages
    .stream({ model, max_tokens: 100, messages: asking("[[tokens 20]]") })
    .on("text", (text) => {
      streamed += text;
      pieces += 1;
    })
    .on("streamEvent", (event) => events.push(event.type));
  const message = await running.finalMessage();
  return { streamed, pieces, text: textOf(message), stop: message.stop_reason, usage: message.usage, events };
}

async function toolLoop() {
  const messages = asking('[[tool weather {"city": "Paris"}]] [[tool weather {"city": "Rome"}]]');
  const turns = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const message = await client.messages.stream({ model, max_tokens: 200, tools, messages }).finalMessage();
    turns.push({ stop: message.stop_reason, text: textOf(message) });
    if (message.stop_reason !== "tool_use") break;
    const results = message.content
      .filter((block) => block.type === "tool_use")
      .map((call) => ({ type: "tool_result", tool_use_id: call.id, content: `${call.input.city} is sunny` }));
    messages.push({ role: "assistant", content: message.content }, { role: "user", content: results });
  }
  return turns;
}

async function toolRunner() {
  const seen = [];
  const run = (input) => {
    seen.push(input.city);
    return `${input.city} is sunny`;
  };
  const runner = client.beta.messages.toolRunner({
    model,
    max_tokens: 200,
    messages: asking('[[tool weather {"city": "Paris"}]]'),
    tools: [{ ...tools[0], type: "custom", run, parse: (input) => input }],
  });
  return { text: textOf(await runner), seen };
}

async function thinking() {
  const asked = { model, max_tokens: 2000, tools, thinking: { type: "enabled", budget_tokens: 1024 } };
  const messages = asking('[[think Let me see]] [[say Looking.]] [[tool weather {"city": "Paris"}]]');
  const first = await client.messages.stream({ ...asked, messages }).finalMessage();
  const results = first.content
    .filter((block) => block.type === "tool_use")
    .map((call) => ({ type: "tool_result", tool_use_id: call.id, content: `${call.input.city} is sunny` }));
  messages.push({ role: "assistant", content: first.content }, { role: "user", content: results });
  const final = await client.messages.stream({ ...asked, messages }).finalMessage();
  const thoughts = first.content.flatMap((block) => (block.type === "thinking" ? [block.thinking] : []));
  return { thoughts: thoughts.filter(Boolean), text: textOf(first), final: textOf(final) };
}

async function ended(text, more) {
  const message = await client.messages.stream({ model, max_tokens: 200, messages: asking(text), ...more }).finalMessage();
  return { text: textOf(message).trim(), stop: message.stop_reason };
}

const schema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

async function failure(directive) {
  const seen = [];
  try {
    const running = await client.messages.create({
      model,
      max_tokens: 100,
      stream: true,
      messages: asking(`[[tokens 20]] ${directive}`),
    });
    for await (const event of running) seen.push(event.type);
    return { raised: null, seen };
  } catch (error) {
    return { raised: error.constructor.name, isApiError: error instanceof Anthropic.APIError, seen };
  }
}

async function models() {
  const ids = [];
  for await (const listed of client.models.list({ limit: 2 })) ids.push(listed.id);
  return ids;
}

const said = {
  create: await create(),
  stream: await stream(),
  toolLoop: await toolLoop(),
  toolRunner: await toolRunner(),
  thinking: await thinking(),
  refused: await ended("[[stop refusal]] [[say No]]"),
  stopped: await ended("[[say one END two]]", { stop_sequences: ["END"] }),
  full: await ended("[[tokens 50]]", { max_tokens: 20 }),
  formed: await ended("Which city?", { output_config: { format: { type: "json_schema", schema } } }),
  limited: await failure("[[error 429]]"),
  broken: await failure("[[fail 3]]"),
  cut: await failure("[[cut 3]]"),
  models: await models(),
  counted: (await client.messages.countTokens({ model, messages: asking("Hello") })).input_tokens,
};
process.stdout.write(JSON.stringify(said));
