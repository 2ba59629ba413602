"""OpenAI's Agents SDK: python openai-agents.py chat|responses"""

import asyncio
import sys

from agents import Agent, Runner, function_tool, set_default_openai_api, set_tracing_disabled

set_tracing_disabled(True)
set_default_openai_api({"chat": "chat_completions", "responses": "responses"}[sys.argv[1]])


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


agent = Agent(name="Test", instructions="Be brief.", model="gpt-5.5", tools=[get_weather])


async def main():
    print("complete:", (await Runner.run(agent, "Hi")).final_output)
    streamed = Runner.run_streamed(agent, "Hi")
    deltas = [event.data.delta async for event in streamed.stream_events()
              if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"]
    print("streamed:", "".join(deltas))


asyncio.run(main())
