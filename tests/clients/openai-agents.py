"""OpenAI's Agents SDK: python openai-agents.py chat|responses"""

import asyncio
import sys

from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled

from outcome import end, show_async

set_tracing_disabled(True)
set_default_openai_api({"chat": "chat_completions", "responses": "responses"}[sys.argv[1]])


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


agent = Agent(name="Test", instructions="Be brief.", model="gpt-5.5", tools=[get_weather])


async def complete():
    return (await Runner.run(agent, "Hi")).final_output


async def streamed():
    events = Runner.run_streamed(agent, "Hi").stream_events()
    deltas = [event.data.delta async for event in events
              if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"]
    return "".join(deltas)


async def main():
    await show_async("complete", complete)
    await show_async("streamed", streamed)


asyncio.run(main())
end()
