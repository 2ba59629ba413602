"""LiteLLM as a library: python litellm-sdk.py [WORDS]; with a number, a prompt of so many words."""

import sys

import litellm

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def complete(model, **more):
    words = "word " * int(sys.argv[1]) if len(sys.argv) > 1 else "Hi"
    messages = [{"role": "user", "content": words}]
    answer = litellm.completion(model=model, messages=messages, tools=[TOOL], **more)
    message = answer.choices[0].message
    for call in message.tool_calls or []:
        result = {"role": "tool", "tool_call_id": call.id, "content": f"streamgate-{40 + 2}"}
        messages += [message.model_dump(), result]
    if message.tool_calls:
        message = litellm.completion(model=model, messages=messages, tools=[TOOL], **more).choices[0].message
    return message.content


def stream(model):
    chunks = litellm.completion(model=model, messages=[{"role": "user", "content": "Hi"}], stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


for model in ["openai/gpt-5.5", "anthropic/claude-opus-4-8"]:
    try:
        print(f"complete {model}:", complete(model))
        print(f"streamed {model}:", stream(model))
    except litellm.exceptions.APIError as error:
        print(type(error).__name__, error)
    except litellm.exceptions.BadRequestError as error:
        print(type(error).__name__, error)
