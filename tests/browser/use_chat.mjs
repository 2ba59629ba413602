// `useChat` of the AI SDK, unmodified, in a real browser against a running gateway.
//
//   node tests/browser/use_chat.mjs http://127.0.0.1:8000
//
// The gateway serves the models of tests/sdk/stage.toml. Exits with 1 at the first check that fails.
// CHROMIUM names the browser if it is in no usual place.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { launch } from "./launch.mjs";

/** How long any condition is waited for: longer than the slowest machine takes. */
const WAIT_MS_MAX = 60_000;
const STEADY_TEXT = "word ".repeat(20) + "end 👩‍👩‍👧‍👦";

const checks = {
  async "text as it comes, and what it cost"(page) {
    const lengths = await grown(page, "steady");
    assert.ok(lengths.length > 2, `text should grow, its lengths were ${lengths}`);
    const { status, messages } = await chat(page);
    assert.equal(status, "ready");
    const [asked, answer] = messages;
    assert.equal(asked.role, "user");
    assert.deepEqual(answer.parts.map(({ type }) => type), ["step-start", "text"]);
    assert.equal(answer.parts[1].text, STEADY_TEXT);
    assert.equal(answer.parts[1].state, "done");
    assert.equal(answer.metadata.model, "fake-1");
    assert.equal(answer.metadata.usage.outputTokens, 21);
  },

  async "a whole answer"(page) {
    await grown(page, "whole");
    assert.equal((await chat(page)).messages[1].parts[1].text, "Hello there");
  },

  async "a tool that the page carries out, and the answer to it in the same message"(page) {
    await say(page, "tools");
    await page.waitForFunction(() => /degrees/.test(document.getElementById("answer").textContent));
    await settled(page, "ready");
    const { messages } = await chat(page);
    assert.equal(messages.length, 2);
    const parts = messages[1].parts;
    assert.deepEqual(parts.map(({ type }) => type), ["step-start", "text", "tool-get_weather", "step-start", "text"]);
    const { state, input, output } = parts[2];
    assert.deepEqual({ state, input, output }, { state: "output-available", input: { city: "Paris" }, output: { celsius: 20 } });
    assert.equal(parts[4].text, "20 degrees.");
  },

  async "a break after content is an error, and keeps the text"(page) {
    await say(page, "breaking");
    await settled(page, "error");
    assert.match(await page.locator("main").getAttribute("data-error"), / was lost/);
    assert.equal(await page.locator("#answer").textContent(), "Hello");
  },

  async "an error before content is its sentence"(page) {
    await say(page, "gpt-9");
    await settled(page, "error");
    assert.match(await page.locator("main").getAttribute("data-error"), /^There is no model `gpt-9`: expected one of /);
    await say(page, "whole");
    await settled(page, "ready");
  },

  async "stopping keeps what was said"(page) {
    await stopAfter(page, 10);
    await say(page, "steady");
    await settled(page, "ready");
    const text = await page.locator("#answer").textContent();
    assert.ok(STEADY_TEXT.startsWith(text) && text.length < STEADY_TEXT.length, text);
  },
};

/** Asks the model and says which lengths the answer had on its way. */
async function grown(page, model) {
  await page.evaluate(() => {
    window.lengths = [];
    const answer = document.getElementById("answer");
    new MutationObserver(() => window.lengths.push(answer.textContent.length))
      .observe(answer, { childList: true, characterData: true, subtree: true });
  });
  await say(page, model);
  await settled(page, "ready");
  return page.evaluate(() => window.lengths);
}

/** The page itself stops the answer after so many characters: from outside, a busy machine is too slow for that. */
async function stopAfter(page, chars) {
  await page.evaluate((chars) => {
    const answer = document.getElementById("answer");
    new MutationObserver((_, observer) => {
      if (answer.textContent.length <= chars) return;
      observer.disconnect();
      window.chat.stop();
    }).observe(answer, { childList: true, characterData: true, subtree: true });
  }, chars);
}

/** Returns when the answer is under way. A short one may have ended by then, so the page itself watches. */
async function say(page, model) {
  await page.evaluate((model) => new Promise((resolve) => {
    const status = new MutationObserver(() => { status.disconnect(); resolve(); });
    status.observe(document.querySelector("main"), { attributeFilter: ["data-status"] });
    location.hash = model;
    window.chat.sendMessage({ text: "What is the weather in Paris?" });
  }), model);
}

async function settled(page, status) {
  await page.waitForSelector(`main[data-status=${status}]`, { state: "attached" });
}

const chat = (page) => page.evaluate(() => ({ status: window.chat.status, messages: window.chat.messages }));

async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("use_chat.jsx", import.meta.url))],
    bundle: true,
    write: false,
    format: "iife",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    logLevel: "error",
  });
  return outputFiles[0].text;
}

/** The page stands at the gateway's own origin, as behind one reverse proxy. */
async function open(browser, url, script) {
  const tab = await browser.newContext();
  tab.setDefaultTimeout(WAIT_MS_MAX);
  const page = await tab.newPage();
  const body = '<!doctype html><meta charset="utf-8"><div id="page"></div><script src="/use-chat.js"></script>';
  await page.route("**/use-chat", (route) => route.fulfill({ contentType: "text/html", body }));
  await page.route("**/use-chat.js", (route) => route.fulfill({ contentType: "text/javascript", body: script }));
  await page.goto(new URL("/use-chat", url).href);
  await page.waitForSelector("main", { state: "attached" });
  return page;
}

async function main([url]) {
  if (!url) throw new Error("usage: node tests/browser/use_chat.mjs BASE_URL");
  const script = await bundle();
  const browser = await launch();
  try {
    for (const [name, check] of Object.entries(checks)) {
      const page = await open(browser, url, script);
      const complaints = [];
      page.on("pageerror", (error) => complaints.push(error.stack));
      await check(page).catch((error) => {
        error.message = `FAIL  ${name}\n      ${error.message}`;
        throw error;
      });
      assert.deepEqual(complaints, [], name);
      await page.context().close();
      console.log(`ok    ${name}`);
    }
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(process.env.DEBUG ? error.stack : error.message);
  process.exitCode = 1;
});
