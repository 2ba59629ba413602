// What a streamed chunk costs at the edge: CPU time of one workerd process that runs the streamgate
// Worker beside the plainest JavaScript Workers there can be, each fed by the same paced upstream.
//
//   node tests/bench/edge.mjs [--rounds N] [--seconds N] [--loads paced,quick,burst]
//       [--against directory] [name=directory ...]
//
// A directory holds a bundled Worker (`index.js`, `index_bg.wasm`). `streamgate=target/edge` is always
// measured; `--against` names another build of it, and the two take turns. Figures are user plus
// system time of workerd, taken from /proc, so Linux only; the ratio to `native` (a Worker that reads
// no byte of what it passes on) is what to compare between runs.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const CHUNK_BYTES = 200;

/** One load: `streams` at once, each of `chunks` events, one every `gap_ms` (0: all at once). */
const LOADS = {
  paced: { streams: 50, gap_ms: 10 },
  quick: { streams: 20, gap_ms: 1 },
  burst: { streams: 32, chunks: 1000, gap_ms: 0 },
};

const PEERS = {
  native: `export default {
    fetch(request, env) { return fetch(env.UPSTREAM + new URL(request.url).pathname, request); },
  };`,
  transform: `export default {
    async fetch(request, env) {
      const answer = await fetch(env.UPSTREAM + new URL(request.url).pathname, request);
      let bytes = 0;
      const count = new TransformStream({
        transform(chunk, controller) { bytes += chunk.byteLength; controller.enqueue(chunk); },
      });
      return new Response(answer.body.pipeThrough(count), answer);
    },
  };`,
  pump: `export default {
    async fetch(request, env, ctx) {
      const answer = await fetch(env.UPSTREAM + new URL(request.url).pathname, request);
      const { readable, writable } = new IdentityTransformStream();
      ctx.waitUntil(pump(answer.body.getReader(), writable.getWriter()));
      return new Response(readable, answer);
    },
  };
  async function pump(reader, writer) {
    let bytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return writer.close();
      bytes += value.byteLength;
      await writer.write(value);
    }
  }`,
};

await (process.argv[2] === "--upstream" ? serve_upstream() : main(process.argv.slice(2)));

async function main(args) {
  const options = parse(args);
  const directory = mkdtempSync(path.join(tmpdir(), "streamgate-bench-"));
  const upstream = await start_upstream();
  const gateway = await start_workerd(directory, upstream.port, options.workers);
  try {
    report(await measure(gateway, options));
  } finally {
    gateway.process.kill("SIGKILL");
    upstream.process.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  }
}

function parse(args) {
  const options = { rounds: 3, seconds: 3, loads: Object.keys(LOADS), workers: { streamgate: "target/edge" } };
  for (let i = 0; i < args.length; i++) {
    if (args[i] === "--rounds") options.rounds = Number(args[++i]);
    else if (args[i] === "--seconds") options.seconds = Number(args[++i]);
    else if (args[i] === "--loads") options.loads = args[++i].split(",");
    else if (args[i] === "--against") options.workers.against = args[++i];
    else if (args[i].includes("=")) {
      const [name, directory] = args[i].split("=");
      options.workers[name] = directory;
    } else throw new Error(`unknown argument: ${args[i]}`);
  }
  return options;
}

// Rounds run the Workers in turn, so that a machine that slows down slows all of them.
async function measure(gateway, options) {
  const samples = {};
  for (const name of gateway.names) await load(gateway.ports[name], LOADS.burst, 1);
  for (let round = 0; round < options.rounds; round++) {
    for (const kind of options.loads) {
      for (const name of gateway.names) {
        const shape = { ...LOADS[kind], kind };
        shape.chunks ??= Math.round((options.seconds * 1000) / shape.gap_ms);
        const repeats = shape.gap_ms === 0 ? 2 * options.seconds : 1;
        const before = cpu_us(gateway.process.pid);
        const chunks = await load(gateway.ports[name], shape, repeats);
        const spent = cpu_us(gateway.process.pid) - before;
        ((samples[kind] ??= {})[name] ??= []).push(spent / chunks);
      }
    }
  }
  return samples;
}

function report(samples) {
  for (const [kind, workers] of Object.entries(samples)) {
    const { streams, gap_ms } = LOADS[kind];
    console.log(`\n${kind}: ${streams} streams, ${gap_ms} ms between chunks of ${CHUNK_BYTES} bytes`);
    const base = median(workers.native);
    for (const [name, figures] of Object.entries(workers)) {
      const us = median(figures);
      const ratio = (us / base).toFixed(2);
      console.log(`  ${name.padEnd(14)} ${us.toFixed(2).padStart(8)} us/chunk ${ratio.padStart(6)} x native`);
    }
  }
}

function median(figures) {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Opens the streams, `repeats` times over, and answers how many chunks came through them. */
async function load(port, shape, repeats) {
  const body = JSON.stringify({
    model: "bench",
    stream: true,
    messages: [{ role: "user", content: `chunks=${shape.chunks} gap_ms=${shape.gap_ms}` }],
  });
  for (let i = 0; i < repeats; i++) {
    const expected = shape.chunks * CHUNK_BYTES;
    const open = Array.from({ length: shape.streams }, () => read_stream(port, body, expected));
    await Promise.all(open);
  }
  return repeats * shape.streams * shape.chunks;
}

function read_stream(port, body, expected) {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const url = { host: "127.0.0.1", port, path: "/v1/chat/completions", method: "POST", headers };
    const request = http.request(url, (answer) => {
      let bytes = 0;
      answer.on("data", (chunk) => (bytes += chunk.length));
      answer.on("error", reject);
      answer.on("end", () => {
        if (answer.statusCode !== 200 || bytes < expected) {
          reject(new Error(`status ${answer.statusCode}, ${bytes} of ${expected} bytes`));
        } else resolve(bytes);
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** User plus system time of a process, all its threads, in microseconds. */
function cpu_us(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function start_upstream() {
  const script = fileURLToPath(import.meta.url);
  const child = spawn(process.execPath, [script, "--upstream"], { stdio: ["ignore", "pipe", "inherit"] });
  const port = await first_line(child.stdout, (line) => Number(line));
  return { process: child, port };
}

async function start_workerd(directory, upstream, workers) {
  const services = [];
  for (const [name, code] of Object.entries(PEERS)) {
    writeFileSync(path.join(directory, `${name}.js`), code);
    services.push({ name, modules: `(name = "index.js", esModule = embed "${name}.js")` });
  }
  for (const [name, from] of Object.entries(workers)) services.push(bundled(name, from, directory));
  writeFileSync(path.join(directory, "config.capnp"), capnp(services, upstream));

  const binary = find_workerd();
  const args = ["serve", "config.capnp", "--control-fd=3"];
  const child = spawn(binary, args, { cwd: directory, stdio: ["ignore", "ignore", "inherit", "pipe"] });
  const ports = await listening(child, services.length);
  return { process: child, ports, names: services.map((service) => service.name) };
}

/** A Worker of files: they are linked under names of their own, beside the configuration. */
function bundled(name, from, directory) {
  const modules = readdirSync(from)
    .filter((file) => /\.(js|mjs|wasm)$/.test(file))
    .sort((a, b) => Number(b.startsWith("index.")) - Number(a.startsWith("index.")))
    .map((file) => {
      writeFileSync(path.join(directory, `${name}-${file}`), readFileSync(path.join(from, file)));
      const kind = file.endsWith(".wasm") ? "wasm" : "esModule";
      return `(name = "${file}", ${kind} = embed "${name}-${file}")`;
    });
  return { name, modules: modules.join(", ") };
}

function capnp(services, upstream) {
  const url = `http://127.0.0.1:${upstream}`;
  const config = [
    `[providers.bench]`,
    `protocol = "openai"`,
    `base_url = "${url}/v1"`,
    `[models.bench]`,
    `targets = ["bench/bench"]`,
  ].join("\n");
  // In a module and, for older builds, in a variable.
  const text = JSON.stringify(config);
  const worker = ({ modules }) => `(
    modules = [${modules}, (name = "streamgate.toml", text = ${text})],
    compatibilityDate = "2026-10-01",
    compatibilityFlags = ["enable_request_signal"],
    bindings = [(name = "UPSTREAM", text = ${JSON.stringify(url)}),
                (name = "STREAMGATE_CONFIG", text = ${text})],
    globalOutbound = "network",
  )`;
  const socket = ({ name }) =>
    `(name = "${name}", address = "127.0.0.1:0", http = (), service = "${name}")`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "network", network = (allow = ["private", "public"])),
    ${services.map((service) => `(name = "${service.name}", worker = ${worker(service)})`).join(",\n")}
  ],
  sockets = [
    ${services.map(socket).join(",\n")}
  ]
);`;
}

/** workerd reports on its control pipe which port each socket was given. */
function listening(child, count) {
  return new Promise((resolve, reject) => {
    const ports = {};
    let text = "";
    child.on("exit", (code) => reject(new Error(`workerd ended with ${code}`)));
    child.stdio[3].on("data", (data) => {
      text += data;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines) {
        const message = JSON.parse(line);
        if (message.event === "listen") ports[message.socket] = message.port;
      }
      if (Object.keys(ports).length === count) resolve(ports);
    });
  });
}

function first_line(stream, parse_line) {
  return new Promise((resolve) => stream.once("data", (data) => resolve(parse_line(String(data)))));
}

// Not `.bin/workerd`: that may be a script, whose CPU time is not workerd's.
function find_workerd() {
  const packages = "node_modules/@cloudflare";
  const found = existsSync(packages) && readdirSync(packages).find((name) => name.startsWith("workerd-"));
  if (!found) throw new Error("there is no workerd: run `npm ci` at the root of the repository");
  return path.resolve(packages, found, "bin/workerd");
}

// The upstream: OpenAI chunks, padded to the same size, as the last message asks for them.
function serve_upstream() {
  const event = padded_event();
  const server = http.createServer((request, answer) => {
    let text = "";
    request.on("data", (data) => (text += data));
    request.on("end", () => {
      const [, chunks, gap_ms] = text.match(/chunks=(\d+) gap_ms=(\d+)/).map(Number);
      answer.writeHead(200, { "content-type": "text/event-stream" });
      send(answer, event, chunks, gap_ms);
    });
  });
  // While another Worker is measured, the connections of this one are not to go stale.
  server.keepAliveTimeout = 3_600_000;
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
}

function send(answer, event, chunks, gap_ms) {
  let sent = 0;
  const end = `data: ${chunk_json("", "stop")}\n\ndata: [DONE]\n\n`;
  if (gap_ms === 0) {
    for (; sent < chunks; sent++) answer.write(event);
    return answer.end(end);
  }
  const timer = setInterval(() => {
    if (sent++ < chunks) return answer.write(event);
    clearInterval(timer);
    answer.end(end);
  }, gap_ms);
}

function padded_event() {
  const bare = `data: ${chunk_json("", null)}\n\n`;
  return `data: ${chunk_json("x".repeat(CHUNK_BYTES - bare.length), null)}\n\n`;
}

function chunk_json(content, finish_reason) {
  const delta = content === "" ? {} : { content };
  const choices = [{ index: 0, delta, finish_reason }];
  const object = "chat.completion.chunk";
  return JSON.stringify({ id: "chatcmpl-1", object, created: 1, model: "bench", choices });
}
