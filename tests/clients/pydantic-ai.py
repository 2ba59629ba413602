"""pydantic-ai: python pydantic-ai.py openai-chat|openai-responses|anthropic"""

import asyncio
import sys

from pydantic_ai import Agent

from outcome import end, show_async

MODELS = {
    "openai-chat": "openai-chat:gpt-5.5",
    "openai-responses": "openai-responses:gpt-5.5",
    "anthropic": "anthropic:claude-opus-4-8",
}

agent = Agent(MODELS[sys.argv[1]], instructions="Be brief.")


@agent.tool_plain
def get_weather(city: str) -> str:
    return f"streamgate-{40 + 2} in {city}"


async def complete():
    return (await agent.run("Hi")).output


async def streamed():
    async with agent.run_stream("Hi") as answer:
        return "".join([text async for text in answer.stream_text(delta=True)])


async def main():
    await show_async("complete", complete)
    await show_async("streamed", streamed)


asyncio.run(main())
end()
