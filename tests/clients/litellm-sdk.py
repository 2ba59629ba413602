"""LiteLLM as a library, with a model of either protocol."""

import litellm

from outcome import end, show

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def complete(model):
    messages = [{"role": "user", "content": "Hi"}]
    answer = litellm.completion(model=model, messages=messages, tools=[TOOL])
    message = answer.choices[0].message
    for call in message.tool_calls or []:
        result = {"role": "tool", "tool_call_id": call.id, "content": f"streamgate-{40 + 2}"}
        messages += [message.model_dump(), result]
    if message.tool_calls:
        message = litellm.completion(model=model, messages=messages, tools=[TOOL]).choices[0].message
    return message.content


def stream(model):
    chunks = litellm.completion(model=model, messages=[{"role": "user", "content": "Hi"}], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


for name in ["openai/gpt-5.5", "anthropic/claude-opus-4-8"]:
    show(f"complete {name}", lambda: complete(name))
    show(f"streamed {name}", lambda: stream(name))
end()
