"""The `ollama` package."""

import ollama

from outcome import end, show


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


MODEL = "gpt-5.5"
messages = [{"role": "user", "content": "Hi"}]


def complete():
    answer = ollama.chat(MODEL, messages=messages, tools=[get_weather])
    for call in answer.message.tool_calls or []:
        result = {"role": "tool", "tool_name": call.function.name, "content": get_weather(**call.function.arguments)}
        answer = ollama.chat(MODEL, messages=[*messages, answer.message, result], tools=[get_weather])
    return answer.message.content


def streamed():
    return "".join(part.message.content or "" for part in ollama.chat(MODEL, messages=messages, stream=True))


show("models", lambda: [model.model for model in ollama.list().models])
show("capabilities", lambda: ollama.show(MODEL).capabilities)
show("complete", complete)
show("streamed", streamed)
show("generated", lambda: ollama.generate(MODEL, "Hi").response)
end()
