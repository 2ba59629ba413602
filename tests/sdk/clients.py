"""The official SDKs for Python against a gateway with a provider of every protocol behind it.

    python tests/sdk/clients.py http://127.0.0.1:8000 openai anthropic ...

The gateway serves the models of the grid (tests/src/grid.rs): `PROVIDER-CASE` for each provider
named. Each SDK streams text, calls a tool, reads JSON by a schema, and sees an error as an error of
its own kind: in mid-answer, in an answer's place, and before any provider is asked.
"""

import json
import sys

import anthropic
import openai
from pydantic import BaseModel

TEXT = "Hello, wörld 😀!"
CALLS = [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})]
ON_FIRE = "The engine is on fire."
UNKNOWN = "There is no model `gpt-9`"
HELLO = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "zone": {"type": "string"}}}


class Place(BaseModel):
    city: str
    celsius: int


PLACE = Place(city="Paris", celsius=20)


class OpenAiChat:
    def __init__(self, url):
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=60)

    def stream(self, model, **more):
        with self.sdk.chat.completions.stream(model=model, messages=HELLO, **more) as stream:
            return stream.get_final_completion().choices[0]

    def text(self, model):
        assert self.stream(model).message.content == TEXT

    def tools(self, model):
        function = lambda name: {"type": "function", "function": {"name": name, "parameters": SCHEMA}}
        choice = self.stream(model, tools=[function(name) for name, _ in CALLS])
        calls = [call.function for call in choice.message.tool_calls]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS, calls
        assert choice.finish_reason == "tool_calls", choice

    def structured(self, model):
        answer = self.sdk.chat.completions.parse(model=model, messages=HELLO, response_format=Place)
        assert answer.choices[0].message.parsed == PLACE, answer

    def error(self, model):
        raises(openai.APIError, ON_FIRE, lambda: self.stream(model))
        whole = lambda: self.sdk.chat.completions.create(model=model, messages=HELLO)
        raises(openai.InternalServerError, ON_FIRE, whole)

    def refused(self, model):
        raises(openai.NotFoundError, UNKNOWN, lambda: self.stream(model))


class OpenAiResponses:
    def __init__(self, url):
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=60)

    def stream(self, model, **more):
        with self.sdk.responses.stream(model=model, input="Hi", **more) as stream:
            return stream.get_final_response()

    def text(self, model):
        response = self.stream(model)
        assert response.output_text == TEXT and response.usage.output_tokens == 7, response

    def tools(self, model):
        function = lambda name: {"type": "function", "name": name, "parameters": SCHEMA, "strict": False}
        response = self.stream(model, tools=[function(name) for name, _ in CALLS])
        calls = [item for item in response.output if item.type == "function_call"]
        assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS, calls

    def structured(self, model):
        answer = self.sdk.responses.parse(model=model, input="Hi", text_format=Place)
        assert answer.output_parsed == PLACE, answer

    def error(self, model):
        raises(openai.APIError, ON_FIRE, lambda: self.stream(model))
        whole = lambda: self.sdk.responses.create(model=model, input="Hi")
        raises(openai.InternalServerError, ON_FIRE, whole)

    def refused(self, model):
        raises(openai.NotFoundError, UNKNOWN, lambda: self.stream(model))


class Anthropic:
    def __init__(self, url):
        self.sdk = anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=60)

    def stream(self, model, **more):
        with self.sdk.messages.stream(model=model, max_tokens=100, messages=HELLO, **more) as stream:
            return stream.get_final_message()

    def text(self, model):
        message = self.stream(model)
        assert "".join(block.text for block in message.content) == TEXT, message
        assert message.stop_reason == "end_turn" and message.usage.output_tokens == 7, message

    def tools(self, model):
        message = self.stream(model, tools=[{"name": name, "input_schema": SCHEMA} for name, _ in CALLS])
        calls = [block for block in message.content if block.type == "tool_use"]
        assert [(call.name, call.input) for call in calls] == CALLS, calls

    def structured(self, model):
        asked = dict(model=model, max_tokens=100, messages=HELLO)
        assert self.sdk.messages.parse(**asked, output_format=Place).parsed_output == PLACE

    def error(self, model):
        raises(anthropic.APIError, ON_FIRE, lambda: self.stream(model))
        whole = lambda: self.sdk.messages.create(model=model, max_tokens=100, messages=HELLO)
        raises(anthropic.InternalServerError, ON_FIRE, whole)

    def refused(self, model):
        raises(anthropic.NotFoundError, UNKNOWN, lambda: self.stream(model))


def raises(kind, words, ask):
    try:
        answer = ask()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"{kind.__name__} should be raised, not {answer} be answered")


def main(url, providers):
    for client in [OpenAiChat(url), OpenAiResponses(url), Anthropic(url)]:
        check(client, "refused", "gpt-9")
        for provider in providers:
            for kind in ["text", "tools", "structured", "error"]:
                check(client, kind, f"{provider}-{kind}")
        print(f"ok {type(client).__name__}")


def check(client, kind, model):
    try:
        getattr(client, kind)(model)
    except Exception as error:
        error.add_note(f"{type(client).__name__}, {kind}, model {model}")
        raise


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
