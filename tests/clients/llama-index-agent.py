"""LlamaIndex's agent on OpenAILike, as the page has it."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent

from outcome import end, show, show_async
from page import llm


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


def streamed():
    return "".join(chunk.delta or "" for chunk in llm.stream_complete("Hi"))


async def agent():
    return await FunctionAgent(tools=[get_weather], llm=llm).run("Hi")


show("complete", lambda: llm.complete("Hi"))
show("streamed", streamed)
asyncio.run(show_async("agent", agent))
end()
