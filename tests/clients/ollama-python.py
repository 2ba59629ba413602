"""The `ollama` package."""

import ollama


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


MODEL = "gpt-5.5"
messages = [{"role": "user", "content": "Hi"}]
print("models:", [model.model for model in ollama.list().models])
print("capabilities:", ollama.show(MODEL).capabilities)
answer = ollama.chat(MODEL, messages=messages, tools=[get_weather])
for call in answer.message.tool_calls or []:
    result = {"role": "tool", "tool_name": call.function.name, "content": get_weather(**call.function.arguments)}
    answer = ollama.chat(MODEL, messages=[*messages, answer.message, result], tools=[get_weather])
print("complete:", answer.message.content)
print("streamed:", "".join(part.message.content or "" for part in ollama.chat(MODEL, messages=messages, stream=True)))
print("generated:", ollama.generate(MODEL, "Hi").response)
