// What n8n's "OpenAI Chat Model" does: it lists the models with the credential, then chats by the package
// `@langchain/openai`. n8n itself is not run: it is a gigabyte, and its workflows are made in a browser.

import { readFileSync } from "node:fs";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";

const MODEL = "gpt-5.5";
const [credential] = JSON.parse(readFileSync("credentials.json", "utf8"));
const { apiKey, url } = credential.data;

const listed = await fetch(`${url}/models`, { headers: { Authorization: `Bearer ${apiKey}` } });
const models = listed.ok ? (await listed.json()).data.map(({ id }) => id) : [];
console.log("models:", ...models);

const getWeather = tool(({ city }) => `streamgate-${40 + 2} in ${city}`, {
  name: "get_weather",
  description: "The weather of a city.",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
});
const chat = new ChatOpenAI({
  apiKey,
  model: MODEL,
  configuration: { baseURL: url },
  useResponsesApi: process.env.VARIANT === "responses",
  maxRetries: 2,
  timeout: 60_000,
});
const agent = chat.bindTools([getWeather]);
const messages = [{ role: "user", content: "Hi" }];

async function complete() {
  let answer = await agent.invoke(messages);
  for (const call of answer.tool_calls) {
    answer = await agent.invoke([...messages, answer, await getWeather.invoke(call)]);
  }
  return answer.text;
}

async function streamed() {
  let text = "";
  for await (const chunk of await chat.stream(messages)) text += chunk.text;
  return text;
}

for (const does of [complete, streamed]) {
  try {
    console.log(`${does.name}:`, await does());
  } catch (error) {
    console.log(`${does.name}: ${error.constructor.name}: ${error.message}`);
    process.exitCode = 1;
  }
}
