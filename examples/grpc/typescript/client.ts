// A gRPC client of CCProxy in TypeScript: `npm ci && npm run generate && npm run build && npm start`
//
// CCPROXY_GRPC is the address (127.0.0.1:3457), CCPROXY_KEY the key where one is needed. `npm start watch` prints the
// service's health whenever it changes.
import { type ClientError, Metadata, Status, createChannel, createClientFactory } from "nice-grpc";
import { type DeadlineOptions, deadlineMiddleware } from "nice-grpc-client-middleware-deadline";
import { ErrorInfo, RetryInfo, RichClientError, errorDetailsClientMiddleware } from "nice-grpc-error-details";
import { HealthDefinition } from "nice-grpc-server-health";
import { HealthCheckResponse_ServingStatus as Serving } from "nice-grpc-server-health/lib/proto/grpc/health/v1/health.js";

import { type Content, type ContentBlock, type InputMessage, ToolResultBlock } from "./gen/ccproxy/v1/content.js";
import { type Message, type ProxyClient, ProxyDefinition } from "./gen/ccproxy/v1/proxy.js";

const model = process.env.CCPROXY_MODEL ?? "claude-demo-1";
const key = Metadata(process.env.CCPROXY_KEY ? { "x-api-key": process.env.CCPROXY_KEY } : {});

// Spreads calls over every address that the name has. With one address nothing changes:
// `dns:///ccproxy-headless.ccproxy.svc:3457` is where it counts.
const balanced = JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] });

type Proxy = ProxyClient<DeadlineOptions>;
type Turn = Pick<InputMessage, "role" | "content">;

const text = (said: string): Content => ({ kind: { $case: "text", value: said } });
const blocks = (all: ContentBlock[]): Content => ({ kind: { $case: "blocks", value: { blocks: all } } });
const user = (said: string): Turn => ({ role: "user", content: text(said) });
const asking = (...messages: Turn[]) => ({ model, maxTokens: 200, messages });
const textOf = (message: Message): string =>
  message.content.map(({ block }) => (block?.$case === "text" ? (block.value.text ?? "") : "")).join("");

/** Prints an answer while it is made. Leaving the loop ends the call, at the provider too. */
async function stream(proxy: Proxy): Promise<void> {
  for await (const { event } of proxy.streamMessage(asking(user("Count with me")), { metadata: key })) {
    if (event?.$case !== "contentBlockDelta") continue;
    const delta = event.value.delta?.delta;
    if (delta?.$case === "textDelta") process.stdout.write(delta.value.text ?? "");
  }
  console.log();
}

/** Calls the tools that the model asks for until it has an answer. */
async function useTools(proxy: Proxy): Promise<void> {
  const tools = [{ name: "read", inputSchemaJson: '{"type": "object"}' }];
  const messages: Turn[] = [user('[[tool read {"path": "notes.txt"}]]')]; // the demo obeys; a model decides
  for (;;) {
    const answer = await proxy.createMessage({ ...asking(...messages), tools }, { metadata: key });
    const results: ContentBlock[] = [];
    for (const { block } of answer.content) {
      if (block?.$case !== "toolUse") continue;
      console.log("tools:", block.value.name, block.value.inputJson); // the input is JSON text
      const value = ToolResultBlock.fromPartial({ toolUseId: block.value.id, content: text("three lines") });
      results.push({ block: { $case: "toolResult", value } });
    }
    if (results.length === 0) {
      console.log("tools:", textOf(answer));
      return;
    }
    // The answer goes back as it came, thinking and all, then the results.
    messages.push({ role: "assistant", content: blocks(answer.content) });
    messages.push({ role: "user", content: blocks(results) });
  }
}

/** Prints why a call failed, by the details that every error of CCProxy has. */
function explain(error: unknown): void {
  if (!(error instanceof RichClientError)) throw error;
  let reason = "", type = "", seconds = 0;
  for (const detail of error.extra) {
    if (detail.$type === ErrorInfo.$type) ({ reason, metadata: { type = "" } } = detail);
    if (detail.$type === RetryInfo.$type) seconds = detail.retryDelay?.seconds ?? 0;
  }
  console.log(`error: ${Status[error.code]} ${reason} (${type}), again in ${seconds} s`);
}

const channel = createChannel(process.env.CCPROXY_GRPC ?? "127.0.0.1:3457", undefined, {
  "grpc.service_config": balanced,
});
const clients = createClientFactory().use(errorDetailsClientMiddleware).use(deadlineMiddleware);
const proxy: Proxy = clients.create(ProxyDefinition, channel);
const health = clients.create(HealthDefinition, channel);

if (process.argv[2] === "watch") {
  for await (const change of health.watch({ service: "readiness" })) console.log("health:", Serving[change.status]);
} else {
  // No longer than ten seconds for the whole answer: then the call is cancelled, at the provider too.
  let provider: string | undefined;
  const answer = await proxy.createMessage(asking(user("Hello")), {
    metadata: key,
    deadline: 10_000,
    onHeader: (header) => (provider = header.get("x-ccproxy-provider")),
  });
  console.log("whole:", textOf(answer), "from", provider);

  await stream(proxy);
  await useTools(proxy);

  await proxy.createMessage(asking(user('[[error 429 {"retry-after": "7"}]]')), { metadata: key }).catch(explain);

  await proxy
    .createMessage(asking(user("[[wait 5000]]")), { metadata: key, deadline: 500 })
    .catch((error: ClientError) => console.log("deadline:", Status[error.code]));

  const { status } = await health.check({ service: "readiness" });
  console.log("health:", Serving[status]);
}
channel.close();
