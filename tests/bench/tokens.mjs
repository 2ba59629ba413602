// Writes samples of text with the tokens that real tokenizers count in them, for
// `cargo run -p streamgate-tests --bin token-estimates -- SAMPLES`, which holds core's estimate
// against them.
//
//   mkdir texts && cd texts && npm install gpt-tokenizer@2 llama3-tokenizer-js mistral-tokenizer-js \
//     @anthropic-ai/tokenizer @lenml/tokenizer-{gemma,qwen2_5,deepseek_v3}
//   apt-get download debian-handbook gnome-user-docs && for deb in *.deb; do dpkg-deb -x $deb .; done
//   node REPOSITORY/tests/bench/tokens.mjs . REPOSITORY > samples.jsonl
//
// The texts are prose: Debian's handbook and GNOME's help in some forty languages; code: this
// repository, and the packages above; and what nobody would call a text.

import { createRequire } from 'node:module';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [texts, repository] = process.argv.slice(2).map((path) => resolve(path));
if (!repository) throw new Error('expected: tokens.mjs TEXTS REPOSITORY');

const SAMPLES = Number(process.env.SAMPLES ?? 50);
const SIZES = [60, 150, 400, 1000, 2500];

// --- tokenizers --------------------------------------------------------------------------------

const require = createRequire(join(texts, 'package.json'));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const bare = { add_special_tokens: false };
const lenml = async (name) => (await load(`@lenml/tokenizer-${name}`)).fromPreTrained();

const { encode: o200k } = await load('gpt-tokenizer/encoding/o200k_base');
const { encode: cl100k } = await load('gpt-tokenizer/encoding/cl100k_base');
const llama3 = (await load('llama3-tokenizer-js')).default;
const mistral = (await load('mistral-tokenizer-js')).default;
const claude = (await load('@anthropic-ai/tokenizer')).getTokenizer();
const [gemma, qwen, deepseek] = await Promise.all(['gemma', 'qwen2_5', 'deepseek_v3'].map(lenml));

const TOKENIZERS = {
  o200k: (text) => o200k(text).length,
  cl100k: (text) => cl100k(text).length,
  llama3: (text) => llama3.encode(text, { bos: false, eos: false }).length,
  claude2: (text) => claude.encode(text.normalize('NFKC'), 'all').length,
  gemma: (text) => gemma.encode(text, bare).length,
  qwen2: (text) => qwen.encode(text, bare).length,
  deepseek: (text) => deepseek.encode(text, bare).length,
  'mistral-v1': (text) => mistral.encode(text, false, false).length,
};

// --- texts -------------------------------------------------------------------------------------

function* files(folder, name) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && !['.git', 'node_modules', 'target', 'figures'].includes(entry.name)) {
      yield* files(path, name);
    } else if (entry.isFile() && name.test(entry.name) && statSync(path).size < 1 << 20) {
      yield path;
    }
  }
}

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', nbsp: ' ' };
const prose = (markup) =>
  markup
    .replace(/<(script|style|head)[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, '')
    .replace(/&#(x?)([0-9a-f]+);/gi, (_, hex, n) => String.fromCodePoint(parseInt(n, hex ? 16 : 10)))
    .replace(/&(\w+);/g, (whole, name) => ENTITIES[name] ?? whole)
    .replace(/[ \t]*\n\s*\n\s*/g, '\n\n')
    .replace(/[ \t]+/g, ' ');

// Much of a translation is not translated: of a language with a script of its own, its own lines.
const own = (text) => {
  const lines = text.split('\n').filter((line) => line.replace(/[\x00-\x7f]/g, '').length > line.length / 3);
  const kept = lines.join('\n');
  return kept.length > 4000 ? kept : text;
};

const joined = (paths, bytes = 400_000) => {
  let text = '';
  for (const path of paths) {
    text += readFileSync(path, 'utf8');
    if (text.length > bytes) break;
  }
  return text;
};

function* sources() {
  const help = join(texts, 'usr/share/help');
  for (const language of readdirSync(help)) {
    yield [`prose ${language}`, own(prose(joined(files(join(help, language), /\.page$/), 1_500_000)))];
  }
  const handbook = join(texts, 'usr/share/doc/debian-handbook/html');
  for (const language of readdirSync(handbook)) {
    yield [`handbook ${language}`, own(prose(joined(files(join(handbook, language), /\.html$/), 1_500_000)))];
  }
  for (const [kind, name] of Object.entries({ rust: /\.rs$/, toml: /\.toml$/, markdown: /\.md$/ })) {
    yield [`code ${kind}`, joined(files(repository, name))];
  }
  const packages = join(texts, 'node_modules/tiktoken');
  yield ['code javascript', joined(files(join(packages, '..', 'gpt-tokenizer/cjs'), /\.js$/), 200_000)];
  yield ['code minified', joined(files(join(packages, '..', '@lenml/tokenizers/dist'), /\.m?js$/))];
  yield ['code json', joined(files(join(packages, '..'), /package\.json$/))];
  yield ['code html', joined(files(join(handbook, 'en-US'), /\.html$/))];
  const random = xorshift(7);
  const of = (letters, length) => Array.from({ length }, () => letters[random() % letters.length]).join('');
  yield ['odd hex', of('0123456789abcdef', 60_000)];
  yield ['odd base64', of('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 60_000)];
  yield ['odd digits', of('0123456789', 60_000)];
  yield ['odd table', Array.from({ length: 6000 }, () => `${random() % 1000},${(random() % 9999) / 100}\n`).join('')];
  yield ['odd spaces', Array.from({ length: 2000 }, () => ' '.repeat(random() % 40) + 'x\n').join('')];
  yield ['odd capitals', joined(files(repository, /\.md$/), 60_000).toUpperCase()];
  yield ['odd emoji', Array.from({ length: 9000 }, () => String.fromCodePoint(0x1f300 + (random() % 0x2ff))).join('')];
}

function xorshift(seed) {
  let x = BigInt(seed);
  return () => {
    x ^= (x << 13n) & 0xffffffffffffffffn;
    x ^= x >> 7n;
    x ^= (x << 17n) & 0xffffffffffffffffn;
    return Number(x & 0x7fffffffn);
  };
}

const random = xorshift(1);
for (const [kind, all] of sources()) {
  const text = all.trim();
  if (text.length < 2000) continue;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const size = SIZES[sample % SIZES.length];
    const from = random() % Math.max(1, text.length - size);
    const piece = text.slice(from, from + size).toWellFormed?.() ?? text.slice(from, from + size);
    const tokens = Object.fromEntries(Object.entries(TOKENIZERS).map(([name, count]) => [name, count(piece)]));
    process.stdout.write(JSON.stringify({ kind, text: piece, tokens }) + '\n');
  }
}
