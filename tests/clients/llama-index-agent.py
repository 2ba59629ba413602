"""LlamaIndex's agent on OpenAILike, as the page has it."""

import asyncio

from llama_index.core.agent.workflow import FunctionAgent

from page import llm


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


async def main():
    print("complete:", llm.complete("Hi"))
    print("streamed:", "".join(chunk.delta or "" for chunk in llm.stream_complete("Hi")))
    agent = FunctionAgent(tools=[get_weather], llm=llm)
    print("agent:", await agent.run("Hi"))


asyncio.run(main())
