"""The `google-genai` package."""

from google import genai
from google.genai import types

from outcome import end, show


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


MODEL = "gemini-2.5-flash"
client = genai.Client()


def complete():
    config = types.GenerateContentConfig(tools=[get_weather])
    return client.models.generate_content(model=MODEL, contents="Hi", config=config).text


def streamed():
    chunks = client.models.generate_content_stream(model=MODEL, contents="Hi")
    return "".join(chunk.text or "" for chunk in chunks)


show("complete", complete)
show("streamed", streamed)
end()
