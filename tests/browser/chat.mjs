// The chat page in a real browser.
//
//   node tests/browser/chat.mjs http://127.0.0.1:8000   the page and the answers of a running server
//   node tests/browser/chat.mjs BASE_URL --fast         the same, where a model may answer within a frame or two
//   node tests/browser/chat.mjs BASE_URL --key KEY      the page of a server that asks for this key
//   node tests/browser/chat.mjs --self                  the page's file, before an endpoint that misbehaves by script
//
// Exits with 1 at the first check that fails. CHROMIUM names the browser if it is in no usual place.
// SCREENSHOTS names a folder to draw the page into, in its main states.

import assert from "node:assert/strict";
import { launch } from "./launch.mjs";
import { misbehave } from "./misbehave.mjs";

/** How long any condition is waited for: longer than the slowest machine takes. */
const WAIT_MS_MAX = 60_000;
const PHONE = { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 };
const LAST = "[data-role=assistant]:last-child";

const STOPPING = "keeps the partial text of an answer that is stopped, and ends the request";

// ---- Checks that hold on any server ---------------------------------------------------------

const everywhere = {
  async "is served with a policy that it keeps"(page, { response }) {
    assert.match(response.headers()["content-type"], /^text\/html; *charset=utf-8$/i);
    assert.match(response.headers()["content-security-policy"] ?? "", /default-src 'none'.*connect-src 'self'/);
  },

  async "shows the answer as it grows, with a cursor until it is done"(page, { fast }) {
    const seen = await watch(page);
    await say(page, "tell me a story");
    await settled(page, "done");
    const { lengths, cursors } = await seen();
    assert.ok(lengths.length >= (fast ? 1 : 3), `text should grow at least twice, its lengths were ${lengths}`);
    assert.ok(lengths.every((length, i) => !i || length > lengths[i - 1]), `text only grows, but went ${lengths}`);
    assert.ok(fast || cursors > 0, "a cursor stands in the text while it grows");
    assert.equal(await page.locator("[data-cursor]").count(), 0, "the cursor goes when the answer is done");
    assert.match(await page.locator(`${LAST} .facts`).innerText(), /\d tokens? · first after [\d.]+ s/);
    assert.ok(await page.locator("#send").isVisible() && await page.locator("#stop").isHidden());
  },

  async [STOPPING](page) {
    const aborted = page.waitForEvent("requestfailed", { predicate: isCompletion });
    await stopAtFirstText(page);
    await say(page, "tell me a story");
    await settled(page, "stopped", "the answer came too fast to be stopped?");
    assert.match((await aborted).failure().errorText, /ABORTED/);
    assert.notEqual(await answer(page), "", "the partial text is kept");
    assert.equal(await page.locator("[data-cursor]").count(), 0);
    assert.match(await remark(page), /You stopped this answer/);
  },

  async "keeps the conversation across a reload, until a new chat"(page) {
    await say(page, "hello");
    await settled(page, "done");
    const before = await page.locator("#messages .text").evaluateAll((all) => all.map((text) => text.innerHTML));
    await page.reload();
    const after = await page.locator("#messages .text").evaluateAll((all) => all.map((text) => text.innerHTML));
    assert.deepEqual(after, before);
    await page.locator("#new").click();
    await page.reload();
    assert.equal(await page.locator("[data-role]").count(), 0);
    assert.ok(await page.locator("#empty").isVisible());
  },

  async "says that a model is unknown, and recovers with another"(page) {
    await page.locator("#model").evaluate((model) => {
      model.add(new Option("no-such-model"));
      model.value = "no-such-model";
    });
    await say(page, "hello");
    await settled(page, "failed");
    assert.match(await remark(page), /model is not available/);
    await page.locator("#model").selectOption({ index: 0 });
    await page.locator(`${LAST} [data-act=retry]`).click();
    await settled(page, "done");
    assert.equal(await page.locator("[data-role]").count(), 2, "a retry replaces the failed answer");
  },

  async "fits a phone"(page) {
    await page.setViewportSize(PHONE.viewport);
    await say(page, "what is streaming? " + "x".repeat(200));
    await settled(page, "done");
    const [content, window] = await page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
    assert.ok(content <= window, `no horizontal scroll: content ${content}, window ${window}`);
    for (const button of await page.locator("button:visible, select:visible, textarea:visible").all()) {
      const { height } = await button.boundingBox();
      assert.ok(height >= 44, `${await button.evaluate((e) => e.id || e.textContent)} is ${height} px high`);
    }
    const size = await page.locator("#input").evaluate((input) => parseFloat(getComputedStyle(input).fontSize));
    assert.ok(size >= 16, "no zoom on focus");
  },
};

// ---- Checks that need an endpoint that misbehaves -------------------------------------------

/** What is asked of the scripted endpoint, and what the page must make of it. */
const FAULTS = [
  { ask: "busy", state: "failed", text: "", remark: /server is busy/, retry: /^Retry in \d+ s$/ },
  { ask: "limited", state: "failed", text: "", remark: /Too many requests[^]*Slow down/ },
  { ask: "gone", state: "failed", text: "", remark: /cannot be reached/ },
  { ask: "provider down", state: "failed", text: "", remark: /provider is not answering/ },
  { ask: "not even JSON", state: "failed", text: "", remark: /provider is not answering/ },
  { ask: "too long", state: "failed", text: "", remark: /too long for the model/ },
  { ask: "no key", state: "failed", text: "", remark: /asks for a valid key/ },
  { ask: "error at once", state: "failed", text: "", remark: /server is busy/ },
  { ask: "error midway", state: "failed", text: "one two", remark: /took too long.*incomplete[^]*idle for 20 s/ },
  { ask: "error after the end", state: "failed", text: "one", remark: /incomplete/ },
  { ask: "cut before content", state: "failed", text: "", remark: /broke off/ },
  { ask: "cut cleanly", state: "failed", text: "one two", remark: /broke off.*incomplete/ },
  { ask: "cut by reset", state: "failed", text: "one two", shown: true, remark: /broke off.*incomplete/ },
  { ask: "cut in an event", state: "failed", text: "one", remark: /broke off.*incomplete/ },
  { ask: "garbage", state: "failed", text: "one", remark: /could not be read.*incomplete/ },
  { ask: "empty", state: "failed", text: "", remark: /empty answer/ },
  { ask: "withheld", state: "failed", text: "", remark: /withheld/ },
  { ask: "filtered", state: "done", text: "one", remark: /ended this answer early/ },
  { ask: "reset after the end", state: "done", text: "one", shown: true, remark: null },
  { ask: "no DONE", state: "done", text: "one", remark: null },
  { ask: "no finish", state: "failed", text: "one", remark: /broke off.*incomplete/ },
  { ask: "split characters", state: "done", text: "añ€🙂z", remark: null },
];

const misbehaving = {
  async "tells every failure as it is"(page, { endpoint }) {
    for (const { ask, state, text, shown, remark: expected, retry } of FAULTS) {
      await page.locator("#new").click();
      await say(page, ask);
      if (shown) {
        await page.waitForFunction((text) => document.querySelector("[data-role=assistant] .text")?.textContent === text, text);
        endpoint.shown();
      }
      await settled(page, state, ask);
      assert.equal(await answer(page), text, ask);
      if (expected) assert.match(await remark(page), expected, ask);
      else assert.equal(await remark(page), "", ask);
      if (retry) assert.match(await page.locator(`${LAST} [data-act=retry]`).innerText(), retry, ask);
      assert.equal(await page.locator(`${LAST} [data-act=retry]`).isVisible(), state === "failed", ask);
      assert.equal(await page.locator("[data-cursor]").count(), 0, ask);
    }
  },

  async "asks for a key, and sends it until the tab is closed"(page, { endpoint }) {
    assert.ok(await page.locator("#key").isHidden());
    await say(page, "no key");
    await settled(page, "failed");
    await unlock(page, "secret");
    await settled(page, "done");
    assert.equal(await answer(page), "Welcome.");
    await page.locator("#key").waitFor({ state: "hidden" });
    await reload(page);
    await say(page, "hello");
    await settled(page, "done");
    assert.equal(endpoint.key(), "Bearer secret");
    assert.doesNotMatch(await page.evaluate(() => JSON.stringify(localStorage)), /secret/);
  },

  async "reads every framing, split at every byte"(page) {
    const broken = await page.evaluate(everySplit);
    assert.deepEqual(broken, []);
  },

  async "continues an answer that met its limit"(page, { endpoint }) {
    await say(page, "length");
    await settled(page, "done");
    assert.match(await remark(page), /Stopped at the length limit/);
    await page.locator(`${LAST} [data-act=continue]`).click();
    await page.waitForFunction(() => /four$/.test(document.querySelector("[data-role=assistant] .text").textContent));
    await settled(page, "done");
    assert.equal(await answer(page), "one two three four");
    assert.equal(await remark(page), "");
    assert.deepEqual(endpoint.asked().messages.map(({ role }) => role), ["user", "assistant", "user"]);
  },

  async "sends the whole conversation, never two turns of one role"(page, { endpoint }) {
    for (const text of ["hello", "empty", "hello"]) {
      await say(page, text);
      await settled(page);
    }
    const { messages, model, stream, stream_options } = endpoint.asked();
    assert.deepEqual(messages.map(({ role, content }) => [role, content]),
      [["user", "hello"], ["assistant", "Hello! I am scripted."], ["user", "empty\n\nhello"]]);
    assert.deepEqual({ model, stream, stream_options }, { model: "tiny", stream: true, stream_options: { include_usage: true } });
  },

  async "draws Markdown as nodes, the same while it grows and after a reload"(page) {
    await say(page, "markdown");
    await settled(page, "done");
    const text = page.locator(`${LAST} .text`);
    const grown = await text.innerHTML();
    for (const [selector, count] of Object.entries({ "h3": 1, "p strong": 1, "ul > li": 4, "li[value]": 2, "figure pre code": 1, "p code": 1, "script": 0, "img": 0 })) {
      assert.equal(await text.locator(selector).count(), count, `${selector} in ${grown}`);
    }
    assert.equal(await text.locator("pre code").textContent(), "fn main() {\n    println!(\"**hi**\");\n\n}");
    assert.match(await text.innerText(), /<img src=x onerror=alert\(1\)>/, "HTML is only text");
    await page.reload();
    assert.equal(await text.innerHTML(), grown);
  },

  async "marks an answer as broken off when the page was left"(page) {
    await say(page, "endless");
    await page.waitForSelector("[data-state=streaming]");
    await page.reload();
    await settled(page, "failed");
    assert.notEqual(await answer(page), "");
    assert.match(await remark(page), /broke off.*incomplete/);
  },

  async "follows the text only for a reader at the bottom"(page) {
    await page.setViewportSize({ width: 600, height: 400 });
    await say(page, "endless");
    await page.waitForFunction(() => document.getElementById("scroller").scrollTop > 200);
    await page.locator("#scroller").hover();
    await page.mouse.wheel(0, -150);
    const { top, height } = await scrolledAwayFromTheEnd(page);
    await page.waitForFunction((height) => document.getElementById("scroller").scrollHeight > height + 100, height);
    const later = await page.locator("#scroller").evaluate((scroller) => scroller.scrollTop);
    assert.ok(Math.abs(later - top) < 2, "the view stays where the reader is");
    await page.mouse.wheel(0, 1_000_000);
    await page.waitForFunction((top) => document.getElementById("scroller").scrollTop > top + 150, top);
    await page.locator("#stop").click();
  },

  async "leaves nothing running after a new chat"(page, { endpoint }) {
    await say(page, "endless");
    await page.waitForSelector("[data-state=streaming]");
    await page.locator("#new").click();
    await endpoint.closed();
    assert.equal(await page.locator("[data-role]").count(), 0);
    await say(page, "hello");
    await settled(page, "done");
    assert.equal(await page.locator("[data-role]").count(), 2);
  },

  async "gives up on a connection that went silent"(page) {
    await page.clock.install();
    await reload(page);
    await say(page, "silence");
    await page.waitForSelector("[data-state=streaming]");
    await page.clock.runFor(55_000);
    assert.equal(await page.locator("[data-state=streaming]").count(), 1);
    await page.clock.runFor(10_000);
    await settled(page, "failed");
    assert.match(await remark(page), /went silent.*incomplete/);
  },

  async "sends on Enter, but not with Shift, while composing, or nothing"(page) {
    const input = page.locator("#input");
    await input.press("Enter");
    await input.fill("ni");
    await input.dispatchEvent("keydown", { key: "Enter", isComposing: true });
    await input.dispatchEvent("keydown", { key: "Enter", keyCode: 229 });
    const { height } = await input.boundingBox();
    await input.press("Shift+Enter");
    await input.press("Shift+Enter");
    assert.ok((await input.boundingBox()).height > height, "the input grows");
    assert.equal(await page.locator("[data-role]").count(), 0);
    await input.fill("hello");
    await input.press("Enter");
    await settled(page, "done");
  },

  async "remembers the model, copies, and speaks the finished answer once"(page, { endpoint }) {
    await page.locator("#model").selectOption("auto");
    await reload(page);
    assert.equal(await page.locator("#model").inputValue(), "auto");
    await page.locator(".chips button").first().click();
    await settled(page, "done");
    assert.equal(endpoint.asked().model, "auto");
    assert.equal((await page.locator("#announcer").textContent()).trim(), "Hello! I am scripted.");
    await page.locator("[data-act=copy]").last().click();
    await page.waitForFunction(async () => await navigator.clipboard.readText() === "Hello! I am scripted.");
  },
};

/** Runs in the page: one event stream in three line endings, whole, byte by byte, and cut in two at every byte. */
async function everySplit() {
  const TEXT = "aé€🙂 z";
  const chunk = (choice) => `data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}`;
  const lines = [": hi", "", "event: message", chunk({ delta: { content: "aé" } }), "", chunk({ delta: { content: "€🙂" } }), "id: 7", "",
    "data:{\"choices\":", "data: [{\"delta\":{\"content\":\" z\"}}]}", "", "unknown", "", chunk({ delta: {}, finish_reason: "stop" }), "", "data: [DONE]", "", ""];
  let pieces;
  window.fetch = async () => new Response(new ReadableStream({
    pull: (controller) => pieces.length ? controller.enqueue(pieces.shift()) : controller.close(),
  }));
  const run = async () => {
    document.getElementById("new").click();
    document.querySelector(".chips button").click();
    const answer = document.querySelector("[data-role=assistant]");
    while (!/done|failed/.test(answer.dataset.state)) await new Promise((later) => setTimeout(later));
    return `${answer.dataset.state} ${answer.querySelector(".text").textContent}`;
  };
  const broken = [];
  const check = async (name, split) => {
    pieces = split;
    const got = await run();
    if (got !== `done ${TEXT}`) broken.push(`${name}: ${got}`);
  };
  for (const [name, ending] of Object.entries({ LF: "\n", CRLF: "\r\n", CR: "\r" })) {
    const bytes = new TextEncoder().encode(lines.join(ending));
    await check(`${name} byte by byte`, Array.from(bytes, (_, i) => bytes.slice(i, i + 1)));
    for (let at = 0; at <= bytes.length; at++) await check(`${name} at ${at}`, [bytes.slice(0, at), bytes.slice(at)]);
  }
  return broken;
}

// ---- Checks that need a server that asks for a key ------------------------------------------

const locked = (key) => ({
  async "asks for a key before anything is said, until it is a valid one"(page) {
    await page.locator("#key").waitFor();
    await say(page, "hello");
    await settled(page, "failed");
    assert.match(await remark(page), /asks for a valid key/);
    await unlock(page, "sg_wrong");
    await settled(page, "failed");
    await unlock(page, key);
    await settled(page, "done");
    assert.notEqual(await answer(page), "");
    assert.equal(await page.locator("[data-role]").count(), 2);
    await page.locator("#key").waitFor({ state: "hidden" });
    await page.waitForFunction(() => document.getElementById("model").options.length > 1);
  },
});

// ---- The hands and eyes of the checks -------------------------------------------------------

/**
 * Waits until the page knows the models, or that it needs a key: until then it asks without a model,
 * and the list replaces whatever a check has selected.
 */
async function ready(page) {
  await page.waitForFunction(() =>
    document.getElementById("model").value || !document.getElementById("unlock").hidden);
}

async function reload(page) {
  await page.reload();
  await ready(page);
}

async function say(page, text) {
  await page.locator("#input").fill(text);
  await page.locator("#send").click();
}

async function unlock(page, key) {
  await page.locator("#key").fill(key);
  await page.locator("#key").press("Enter");
}

/** Waits for the last answer to settle, in the given state if one is given. */
async function settled(page, state, hint = "") {
  const last = page.locator(`${LAST}:is([data-state=done], [data-state=stopped], [data-state=failed])`);
  await last.waitFor();
  const found = await last.getAttribute("data-state");
  if (state) assert.equal(found, state, `${hint} ${await remark(page)}`.trim());
}

/** Where a text that grows is read once the wheel has come to rest: the browser scrolls smoothly. */
async function scrolledAwayFromTheEnd(page) {
  return page.locator("#scroller").evaluate((scroller) => new Promise((resolve) => {
    let before;
    const look = () => {
      const { scrollTop: top, scrollHeight: height, clientHeight } = scroller;
      if (top === before && top + clientHeight < height - 50) return resolve({ top, height });
      before = top;
      setTimeout(look, 100);
    };
    look();
  }));
}

const answer = (page) => page.locator(`${LAST} .text`).textContent();

async function remark(page) {
  const note = page.locator(`${LAST} .note`);
  return await note.isVisible() ? note.innerText() : "";
}

const isCompletion = (request) => request.url().endsWith("/v1/chat/completions");

/** Starts to note, in the page, each length of the answer's text and each sight of the cursor. */
async function watch(page) {
  await page.evaluate(() => {
    const seen = window.seen = { lengths: [], cursors: 0 };
    new MutationObserver(() => {
      const answer = document.querySelector("[data-role=assistant]:last-child");
      const length = answer?.querySelector(".text").textContent.length;
      if (length && length !== seen.lengths.at(-1)) seen.lengths.push(length);
      if (answer?.dataset.state === "streaming" && answer.querySelector("[data-cursor]")) seen.cursors += 1;
    }).observe(document.getElementById("messages"), { subtree: true, childList: true, characterData: true });
  });
  return () => page.evaluate(() => window.seen);
}

/** A person is too slow to stop a fast model: the page's own first text presses the button. */
async function stopAtFirstText(page) {
  await page.evaluate(() => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector("[data-role=assistant]:last-child .text")?.textContent) return;
      observer.disconnect();
      document.getElementById("stop").click();
    }).observe(document.getElementById("messages"), { subtree: true, childList: true });
  });
}

async function draw(browser, url, folder) {
  const looks = { light: {}, dark: { colorScheme: "dark" }, phone: PHONE, "phone-dark": { ...PHONE, colorScheme: "dark" } };
  for (const [name, look] of Object.entries(looks)) {
    const page = await browser.newPage({ viewport: { width: 1100, height: 780 }, ...look });
    await page.goto(url);
    await page.screenshot({ path: `${folder}/${name}-empty.png` });
    for (const text of ["hello", "markdown", "error midway"]) {
      await say(page, text);
      await settled(page);
      await page.screenshot({ path: `${folder}/${name}-${text.replace(" ", "-")}.png` });
    }
    await say(page, "endless");
    await page.waitForSelector("[data-state=streaming]");
    await page.waitForTimeout(400);
    await page.screenshot({ path: `${folder}/${name}-streaming.png` });
    await page.close();
  }
}

// ---- Running them ---------------------------------------------------------------------------

async function check(browser, url, name, body, context) {
  const touch = name.includes("phone") ? PHONE : {};
  const tab = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"], ...touch });
  tab.setDefaultTimeout(WAIT_MS_MAX);
  const page = await tab.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("console", (line) => /Content Security Policy/.test(line.text()) && complaints.push(line.text()));
  try {
    const response = await page.goto(url);
    await ready(page);
    await body(page, { response, ...context });
    assert.deepEqual(complaints, [], "the page is sound");
  } finally {
    await tab.close();
  }
  console.log(`ok    ${name}`);
}

async function main([target, option, key]) {
  if (!target) throw new Error("usage: node tests/browser/chat.mjs BASE_URL [--fast | --key KEY] | --self");
  const fast = option === "--fast";
  const endpoint = target === "--self" ? await misbehave() : null;
  const url = endpoint?.url ?? new URL("/", target).href;
  const browser = await launch();
  try {
    if (process.env.SCREENSHOTS) return await draw(browser, url, process.env.SCREENSHOTS);
    const checks = key ? locked(key) : { ...everywhere, ...(endpoint && misbehaving) };
    // Nobody is quick enough to stop an answer that is there at once.
    if (fast) delete checks[STOPPING];
    for (const [name, body] of Object.entries(checks)) {
      await check(browser, url, name, body, { endpoint, fast }).catch((error) => {
        error.message = `FAIL  ${name}\n      ${error.message}`;
        throw error;
      });
    }
  } finally {
    await browser.close();
    endpoint?.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(process.env.DEBUG ? error.stack : error.message);
  process.exitCode = 1;
});
