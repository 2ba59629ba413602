"""LangGraph's agent on LangChain's ChatOpenAI, as the page has it."""

from langchain_core.tools import tool
from langgraph.prebuilt import create_react_agent

from outcome import end, show
from page import model


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"streamgate-{40 + 2} in {city}"


agent = create_react_agent(model, [get_weather])
question = {"messages": [("user", "Hi")]}


def complete():
    return agent.invoke(question)["messages"][-1].content


def streamed():
    chunks = agent.stream(question, stream_mode="messages")
    return "".join(chunk.content for chunk, _ in chunks if chunk.type == "AIMessageChunk")


show("complete", complete)
show("streamed", streamed)
end()
