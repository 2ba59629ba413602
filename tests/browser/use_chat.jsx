// A page as an application of the AI SDK has it: `useChat` as it comes, its default transport, a tool that
// the page carries out. use_chat.mjs bundles and drives it. The model is the address's hash.

import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "ai";
import { createRoot } from "react-dom/client";

const tools = {
  get_weather: {
    description: "The weather in a city.",
    inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const transport = new DefaultChatTransport({ body: () => ({ model: location.hash.slice(1), tools }) });

function Page() {
  const chat = useChat({
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall({ toolCall }) {
      chat.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: { celsius: 20 } });
    },
  });
  window.chat = chat;
  const answer = chat.messages.findLast(({ role }) => role === "assistant");
  const text = answer?.parts.filter(({ type }) => type === "text").map(({ text }) => text).join("");
  return (
    <main data-status={chat.status} data-error={chat.error?.message ?? ""}>
      <p id="answer">{text}</p>
    </main>
  );
}

createRoot(document.getElementById("page")).render(<Page />);
