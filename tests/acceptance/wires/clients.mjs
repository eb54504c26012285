// OpenAI's Node SDK and the Vercel AI SDK against a server: prints what each of them saw, as JSON.
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";

const [url, key, jobId] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const parameters = { type: "object", properties: { city: { type: "string" } } };
const seen = {};
globalThis.AI_SDK_LOG_WARNINGS = false;

const whole = await client.chat.completions.create({ model: "ok", messages }, { headers: { "X-Job-Type": "node" } }).withResponse();
seen.whole = [whole.data.choices[0].message.content, whole.data.usage.total_tokens, whole.response.headers.get("x-credits-charged")];

seen.streamed = "";
const stream = await client.chat.completions.create({ model: "ok", messages, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  seen.streamed += chunk.choices[0]?.delta?.content ?? "";
  seen.usage = chunk.usage?.total_tokens ?? null;
}

const runner = client.chat.completions.stream({ model: "tools", messages, tools: [{ type: "function", function: { name: "get_weather", parameters } }] });
seen.tools = (await runner.finalChatCompletion()).choices[0].message.tool_calls[0].function.arguments;

const response = await client.responses.create({ model: "ok", input: "Hello" });
seen.response = response.output_text;
const events = await client.responses.create({ model: "ok", input: "Hello", stream: true });
for await (const event of events) if (event.type === "response.completed") seen.completed = event.response.usage.total_tokens;

seen.embedding = (await client.embeddings.create({ model: "ok", input: "Hello" })).data[0].embedding; // asks for base64
seen.models = (await client.models.list()).data.some((model) => model.id === "ok");

seen.errors = {};
const failing = { context: "BadRequestError", Private: "PermissionDeniedError", nothing: "NotFoundError", e429: "RateLimitError", e503: "InternalServerError" };
for (const [model, kind] of Object.entries(failing)) {
  try {
    await client.chat.completions.create({ model, messages });
  } catch (error) {
    seen.errors[model] = [error instanceof OpenAI[kind], error.code];
  }
}
try {
  await new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-unknown" }).models.list();
} catch (error) {
  seen.errors.key = [error instanceof OpenAI.AuthenticationError, error.code];
}
try {
  await client.chat.completions.create({ model: "ok", messages }, { headers: { "X-Job-Id": jobId }, maxRetries: 2 });
} catch (error) {
  seen.errors.closed = [error instanceof OpenAI.ConflictError, error.code];
}

const left = await client.chat.completions.create({ model: "hold", messages, stream: true });
for await (const _ of left) break; // leaving closes the connection
left.controller.abort();

const vercel = createOpenAICompatible({ name: "control-plane", baseURL: `${url}/v1`, apiKey: key, includeUsage: true });
const said = await generateText({ model: vercel("ok"), prompt: "Hello" });
seen.vercel = [said.text, said.usage.totalTokens];
const flow = streamText({ model: vercel("ok"), prompt: "Hello" });
seen.vercelStreamed = "";
for await (const text of flow.textStream) seen.vercelStreamed += text;
seen.vercelUsage = (await flow.usage).totalTokens;
const called = await generateText({
  model: vercel("tools"),
  prompt: "Hello",
  tools: { get_weather: tool({ inputSchema: z.object({ city: z.string() }) }) },
});
seen.vercelTools = called.toolCalls[0].input;
const thinking = await generateText({ model: vercel("think"), prompt: "Hello" });
seen.vercelReasoning = thinking.reasoningText;
const vector = await embed({ model: vercel.textEmbeddingModel("ok"), value: "Hello" });
seen.vercelEmbedding = vector.embedding;
const person = await generateObject({ model: vercel("json"), prompt: "Hello", schema: z.object({ name: z.string(), age: z.number(), email: z.string() }) });
seen.vercelObject = person.object.name;

console.log(JSON.stringify(seen));
