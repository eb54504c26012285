// One SDK against a server: asks every question of a file and prints the outcomes, as JSON. See tests/acceptance/sdks/awkward.py.
import { readFileSync } from "node:fs";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, AISDKError, generateText, jsonSchema, streamText, tool } from "ai";
import OpenAI from "openai";

const AT_ONCE = 8;
const TIMEOUT_MS = 120_000;

const [name, url, key, file] = process.argv.slice(2);
globalThis.AI_SDK_LOG_WARNINGS = false;

const FUNCTIONS_BEHIND = (results) => (results.length ? results : [{ role: "user", content: "And?" }]);

function openai() {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, timeout: TIMEOUT_MS });
  const chat = {
    ask: (form, body) =>
      form === "whole" ? client.chat.completions.create(body) : client.chat.completions.stream(body).finalChatCompletion(),
    behind(body, final) {
      const said = final.choices[0].message;
      const results = (said.tool_calls ?? []).map((call) => ({ role: "tool", tool_call_id: call.id, content: "done" }));
      return { ...body, messages: [...body.messages, said, ...FUNCTIONS_BEHIND(results)] };
    },
  };
  const responses = {
    ask: (form, body) => (form === "whole" ? client.responses.create(body) : client.responses.stream(body).finalResponse()),
    behind(body, final) {
      const results = final.output
        .filter((item) => ["function_call", "custom_tool_call"].includes(item.type))
        .map((item) => ({ type: `${item.type}_output`, call_id: item.call_id, output: "done" }));
      return { ...body, input: [...body.input, ...final.output, ...FUNCTIONS_BEHIND(results)] };
    },
  };
  const ways = { chat, responses };
  return {
    ask: ({ api, form, body }) => ways[api].ask(form, body),
    again: ({ api, form, body }, final) => ways[api].ask(form, ways[api].behind(body, final)),
    isOwn: (error) => error instanceof OpenAI.APIError,
  };
}

function anthropic() {
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0, timeout: TIMEOUT_MS });
  const ask = (form, body) => (form === "whole" ? client.messages.create(body) : client.messages.stream(body).finalMessage());
  return {
    ask: ({ form, body }) => ask(form, body),
    again({ form, body }, final) {
      const results = final.content
        .filter((block) => block.type === "tool_use")
        .map((block) => ({ type: "tool_result", tool_use_id: block.id, content: "done" }));
      const content = results.length ? results : "And?";
      return ask(form, { ...body, messages: [...body.messages, { role: "assistant", content: final.content }, { role: "user", content }] });
    },
    isOwn: (error) => error instanceof Anthropic.APIError,
  };
}

function vercel() {
  const provider = createOpenAICompatible({ name: "control-plane", baseURL: `${url}/v1`, apiKey: key, includeUsage: true });

  async function ask({ form, model, asks }, messages) {
    const tools = Object.fromEntries(
      (asks.tools ?? []).map(({ function: made }) => [made.name, tool({ inputSchema: jsonSchema(made.parameters ?? { type: "object" }) })]),
    );
    const asked = { model: provider(model), messages, maxRetries: 0, abortSignal: AbortSignal.timeout(TIMEOUT_MS) };
    if (asks.tools) asked.tools = tools;
    if (asks.stop) asked.stopSequences = [asks.stop].flat();
    if (form === "whole") return finalOf(await generateText(asked));
    let failure;
    const result = streamText({ ...asked, onError: ({ error }) => (failure ??= error) });
    await result.consumeStream({ onError: (error) => (failure ??= error) });
    if (failure !== undefined) throw failure;
    return finalOf(result);
  }

  async function finalOf(result) {
    return {
      text: await result.text,
      reasoning: (await result.reasoningText) ?? "",
      calls: (await result.toolCalls).map((call) => ({ id: call.toolCallId, name: call.toolName, input: call.input })),
      finish: await result.finishReason,
      messages: (await result.response).messages,
    };
  }

  const before = [
    { role: "assistant", content: [{ type: "tool-call", toolCallId: "call_before", toolName: "look", input: {} }] },
    { role: "tool", content: [{ type: "tool-result", toolCallId: "call_before", toolName: "look", output: { type: "text", value: "done" } }] },
  ];
  const begun = ({ prompt, history }) => [{ role: "user", content: prompt }, ...(history === "tool" ? before : [])];
  return {
    ask: (question) => ask(question, begun(question)),
    again(question, { calls, messages }) {
      const done = messages.filter(({ role }) => role === "tool").flatMap(({ content }) => content.map((part) => part.toolCallId));
      const results = calls
        .filter(({ id }) => !done.includes(id))
        .map((call) => ({ type: "tool-result", toolCallId: call.id, toolName: call.name, output: { type: "text", value: "done" } }));
      const behind = calls.length ? (results.length ? [{ role: "tool", content: results }] : []) : [{ role: "user", content: "And?" }];
      return ask(question, [...begun(question), ...messages, ...behind]);
    },
    // one in a stream is the server's own object
    isOwn: (error) => APICallError.isInstance(error) || AISDKError.isInstance(error) || (!!error?.code && !!error?.message),
  };
}

const sdk = { openai, anthropic, vercel }[name]();
const errorOf = (error) => ({
  is_own: sdk.isOwn(error),
  name: error?.constructor?.name ?? null,
  status: error?.status ?? error?.statusCode ?? null,
  message: String(error?.message ?? error).slice(0, 1000),
});
const questions = JSON.parse(readFileSync(file, "utf-8"));
const outcomes = {};

async function work() {
  for (let question = questions.pop(); question; question = questions.pop()) {
    const outcome = (outcomes[question.key] = {});
    try {
      outcome.final = await sdk.ask(question);
    } catch (error) {
      outcome.error = errorOf(error);
      continue;
    }
    if (!question.isSentBack) continue;
    try {
      outcome.second = { final: await sdk.again(question, outcome.final) };
    } catch (error) {
      outcome.second = { error: errorOf(error) };
    }
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
process.stdout.write(JSON.stringify(outcomes));
