"""The official OpenAI SDK for Python against a running gateway.

    python tests/sdk/stream.py http://127.0.0.1:8000

The gateway serves the models of tests/sdk/stage.toml.
"""

import sys
import time

import openai

STEADY_TEXT = "word " * 20 + "end 👩‍👩‍👧‍👦"
# The text takes a second; what comes at once is at once on a loaded machine too.
GROWTH_S_MIN = 0.3
HELLO = [{"role": "user", "content": "Hi"}]


def main(base_url):
    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0, timeout=60)
    for check in [models, stream, stream_with_usage, whole, unknown_model, broken, left]:
        check(client)
        print(f"ok {check.__name__}")


def models(client):
    names = [model.id for model in client.models.list()]
    assert names[0] == "steady" and set(names) == {"steady", "whole", "breaking", "tools"}, names


def stream(client):
    times, text, finishes = [], "", []
    for chunk in client.chat.completions.create(model="steady", messages=HELLO, stream=True):
        assert chunk.usage is None, chunk
        delta = chunk.choices[0].delta.content
        if delta:
            times.append(time.monotonic())
            text += delta
        if chunk.choices[0].finish_reason:
            finishes.append(chunk.choices[0].finish_reason)
    assert text == STEADY_TEXT, text
    assert finishes == ["stop"], finishes
    assert times[-1] - times[0] > GROWTH_S_MIN, "the text should grow, not come at once"


def stream_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            model="steady", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(usages) == 1 and usages[0].completion_tokens == 21, usages


def whole(client):
    answer = client.chat.completions.create(model="whole", messages=HELLO)
    assert answer.choices[0].message.content == "Hello there", answer
    assert answer.choices[0].finish_reason == "stop" and answer.usage.total_tokens == 5, answer


def unknown_model(client):
    try:
        client.chat.completions.create(model="gpt-9", messages=HELLO, stream=True)
    except openai.NotFoundError as error:
        assert (error.code, error.param) == ("model_not_found", "model"), error.body
    else:
        raise AssertionError("an unknown model should be an error")


def broken(client):
    text = ""
    try:
        for chunk in client.chat.completions.create(model="breaking", messages=HELLO, stream=True):
            text += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        assert error.code == "connection_lost", error.body
    else:
        raise AssertionError("a cut stream should be an error")
    assert text == "Hello", text


def left(client):
    with client.chat.completions.create(model="steady", messages=HELLO, stream=True) as chunks:
        next(iter(chunks))
    stream(client)


if __name__ == "__main__":
    main(sys.argv[1])
