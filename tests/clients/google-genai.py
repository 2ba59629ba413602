"""The `google-genai` package."""

from google import genai
from google.genai import types


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


MODEL = "gemini-2.5-flash"
client = genai.Client()
config = types.GenerateContentConfig(tools=[get_weather])
print("complete:", client.models.generate_content(model=MODEL, contents="Hi", config=config).text)
chunks = client.models.generate_content_stream(model=MODEL, contents="Hi")
print("streamed:", "".join(chunk.text or "" for chunk in chunks))
