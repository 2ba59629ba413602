# What Open WebUI sends (backend/open_webui/routers/openai.py): the models, a chat with a tool of the user's, and a
# title. Open WebUI itself is not run: it is a gigabyte, and its requests come from a browser's session.
set -eu

send() {
  curl --silent --show-error --no-buffer "$OPENAI_API_BASE_URL/$1" \
    --header "Content-Type: application/json" --header "Authorization: Bearer $OPENAI_API_KEY" \
    --header "X-OpenWebUI-User-Name: Ada" --header "X-OpenWebUI-User-Email: ada@example.com" \
    --header "X-OpenWebUI-User-Id: 1" --header "X-OpenWebUI-User-Role: admin" --header "X-OpenWebUI-Chat-Id: 2" \
    ${2:+--data "$2"}
  echo
}

tools='[{"type": "function", "function": {"name": "get_weather", "description": "",
  "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]'
send models
send chat/completions '{"stream": true, "stream_options": {"include_usage": true}, "model": "gpt-5.5",
  "messages": [{"role": "user", "content": "Hi"}], "tools": '"$tools"'}'
send chat/completions '{"stream": false, "model": "gpt-5.5", "max_completion_tokens": 1000,
  "messages": [{"role": "user", "content": "### Task: a title for the chat."}]}'
