// What all scripts here share: one browser, a fresh profile per test, and eyes on what must never
// happen on a page of ours: script errors, refused content, requests to other hosts, 5xx answers.
import assert from 'node:assert/strict';
import { after, test as declare } from 'node:test';
import { chromium } from 'playwright-core';

const env = (name) => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: these scripts are run by tests/it/browser.rs`);
  return value;
};

/** Origin of the server, an instance admin's token, and a directory for files. */
export const url = env('HAYLOFT_URL');
export const token = env('HAYLOFT_TOKEN');
export const scratch = env('HAYLOFT_SCRATCH');

// Machines that do other things as well are slow.
const TEST_MS = 480_000;
const WAIT_MS = 20_000;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

let launched;
export function browser() {
  launched ??= chromium.launch({ executablePath: env('HAYLOFT_TEST_CHROMIUM'), args: FLAGS });
  return launched;
}
after(async () => (await launched)?.close());

/** Signed-out context; `settings` are those of a browser context. */
export async function open(settings = {}) {
  const context = await (await browser()).newContext({ baseURL: url, ...settings });
  context.setDefaultTimeout(WAIT_MS);
  return context;
}

/** Collects what must never happen in `context`. `elsewhere`: other hosts may be asked. */
export function watch(context, { elsewhere = false } = {}) {
  const faults = [];
  context.on('weberror', (e) => faults.push(`script error: ${e.error().stack ?? e.error()}`));
  context.on('console', (message) => {
    // The status of a refused form is what its test looks at; statuses are watched below.
    const isStatus = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isStatus) faults.push(`console: ${message.text()}`);
  });
  context.on('request', (request) => {
    const address = new URL(request.url());
    if (!elsewhere && address.protocol.startsWith('http') && address.origin !== url) {
      faults.push(`request to another host: ${address.origin}`);
    }
  });
  context.on('response', (response) => {
    const isPart = response.request().resourceType() !== 'document';
    const status = response.status();
    if (status >= (isPart ? 400 : 500)) faults.push(`${status} for ${response.url()}`);
  });
  return faults;
}

/**
 * A test with a page of its own: `run({ page, context, faults })`. `signedIn: false` leaves it at
 * the door, `expected` is a pattern of faults that belong to the test, other settings are those of the
 * context.
 */
export function test(name, settings, run) {
  if (typeof settings === 'function') return test(name, {}, settings);
  const { signedIn = true, elsewhere, expected = /^$/, ...rest } = settings;
  declare(name, { timeout: TEST_MS }, async () => {
    const context = await open(rest);
    const faults = watch(context, { elsewhere });
    const page = await context.newPage();
    try {
      if (signedIn) await signIn(page);
      await run({ page, context, faults });
      const unexpected = faults.filter((fault) => !expected.test(fault));
      assert.deepEqual(unexpected, [], 'the page did what it must not');
    } catch (error) {
      await explain(page, error, faults);
      throw error;
    } finally {
      await context.close();
    }
  });
}

/** Says where the page was and what it showed. */
async function explain(page, error, faults) {
  const text = await page.locator('body').innerText({ timeout: 1000 }).catch(() => '(no page)');
  console.log(`${error.message}\n--- ${page.url()} showed:\n${text.slice(0, 3000)}\n--- ${faults.join('\n')}`);
}

export async function signIn(page, secret = token) {
  await page.goto('/signin');
  await page.getByLabel('token', { exact: false }).fill(secret);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/');
}

/** The admin API, as another administrator at the same time. Returns the answer's JSON. */
export async function api(method, path, body) {
  const response = await send(method, `/api/v1${path}`, {
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

/** Uploads bytes or text. */
export async function put(scope, path, body, type = 'application/octet-stream') {
  const address = `/files/${scope}/${path.split('/').map(encodeURIComponent).join('/')}`;
  const response = await send('PUT', address, { headers: { 'content-type': type }, body });
  const text = await response.text();
  assert.ok(response.ok, `PUT ${address}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** A request with the admin token. */
export async function send(method, path, { headers = {}, body } = {}) {
  return fetch(url + path, {
    method, body, headers: { authorization: `Bearer ${token}`, ...headers }, redirect: 'manual',
  });
}

/** Asks until `ask` gives something true; for work that goes on beside the page. */
export async function eventually(what, ask, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < end, `${what} did not happen within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
