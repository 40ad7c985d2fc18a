// The next run: planned, started, watched, paused, cancelled, looked back at. The server of this
// script copies 2 MB per second, so that a run can be seen at work.
import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { api, eventually, put, send, test } from './lib.js';
import { addDisk, finishedRun } from './seed.js';

const root = await addDisk('disk2');
await api('POST', '/scopes', { name: 'films', stores: ['disk2'] });
await api('PATCH', '/scopes/films/stores/disk2', { policy: { populate: true } });

/** So many new files that `disk2` lacks. */
async function arrive(name, files, bytes = 400_000) {
  for (let n = 0; n < files; n += 1) {
    await put('films', `${name}/reel-${n}.mkv`, Buffer.alloc(bytes, `${name}${n}`), 'video/x-matroska');
  }
}

// Twenty seconds' worth, since a busy machine loads a page slowly; before anybody signs in and has the
// next run foreseen.
await arrive('first', 100);

const main = (page) => page.locator('main');
const number = async (locator) => Number((await locator.innerText()).replaceAll(',', ''));

test('the plan says what would be copied where and why, and a run is watched to its end', async ({ page }) => {
  await page.goto('/vacuum');
  const row = page.getByRole('row').filter({ hasText: 'disk2' }).first();
  assert.match(await row.innerText(), /copy.*local.*disk2.*100.*40(\.0)? MB/s);
  assert.match(await row.innerText(), /films/);
  await page.getByRole('button', { name: 'Start a run now' }).click();
  await page.waitForURL('**/vacuum/runs/*');
  const done = page.locator('[data-field="files"]');
  const bar = page.getByRole('progressbar');
  const seen = new Set();
  await eventually('the figures move without a reload', async () => {
    if (await done.count()) seen.add(await number(done));
    return seen.size > 3;
  });
  assert.ok((await bar.getAttribute('value')) !== null);
  assert.match(await page.locator('[data-field="rate"]').innerText(), /[1-9].* (kB|MB)\/s/);
  await page.getByRole('heading', { name: 'Result' }).waitFor({ timeout: 60_000 });
  const result = await main(page).innerText();
  assert.match(result, /complete/);
  assert.match(result, /Copied\s+100 files, 40(\.0)? MB/);
  assert.equal(await bar.count(), 0);
  await page.goto('/vacuum');
  await page.getByRole('row').filter({ hasText: 'complete' }).first().waitFor();
});

test('a run is paused, goes on, and is cancelled between files', async ({ page }) => {
  // Fifty seconds' worth: it is cancelled long before.
  await arrive('second', 50, 2_000_000);
  const { id } = await api('POST', '/vacuum/runs');
  await page.goto(`/vacuum/runs/${id}`);
  await eventually('it copies', async () => (await api('GET', `/vacuum/runs/${id}`)).progress?.done.files > 0);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Resume' }).waitFor();
  assert.equal((await api('GET', `/vacuum/runs/${id}`)).outcome, 'paused');
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  assert.equal((await api('GET', `/vacuum/runs/${id}`)).outcome, 'running');
  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('heading', { name: 'Result' }).waitFor({ timeout: 60_000 });
  assert.match(await main(page).innerText(), /cancelled/);
  const run = await api('GET', `/vacuum/runs/${id}`);
  assert.equal(run.outcome, 'cancelled');
  assert.ok(run.copied.files < 50);
});

test('a second start leads to the run that is at work', async ({ page, context }) => {
  await page.goto('/vacuum');
  const other = await context.newPage();
  await other.goto('/vacuum');
  await page.getByRole('button', { name: 'Start a run now' }).click();
  await page.waitForURL('**/vacuum/runs/*');
  await other.getByRole('button', { name: 'Start a run now' }).click();
  await other.waitForURL((to) => to.pathname === new URL(page.url()).pathname);
  // Both see the end that a third one brings about.
  await api('DELETE', '/vacuum/runs/current');
  await other.getByRole('heading', { name: 'Result' }).waitFor({ timeout: 60_000 });
  await page.getByRole('heading', { name: 'Result' }).waitFor({ timeout: 60_000 });
});

test('without JavaScript a run is started, asked about and paused', { javaScriptEnabled: false }, async ({ page }) => {
  await page.goto('/vacuum');
  await page.getByRole('link', { name: 'Show it' }).click();
  await page.waitForURL('**/vacuum/plan');
  assert.match(await main(page).innerText(), /copy.*local.*disk2/s);
  await page.goto('/vacuum');
  await page.getByRole('button', { name: 'Start a run now' }).click();
  await page.waitForURL('**/vacuum/runs/*');
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  const id = page.url().match(/runs\/(\d+)/)[1];
  await eventually('it ends', async () => (await api('GET', `/vacuum/runs/${id}`)).finished_at);
  await page.goto(page.url().split('?')[0]);
  await page.getByRole('heading', { name: 'Result' }).waitFor();
});

test('what a run could not do is told with the store, the files and what to do', async ({ page }) => {
  await rename(root, `${root}.away`);
  await send('DELETE', '/files/films/first/reel-0.mkv');
  const id = await finishedRun();
  await rename(`${root}.away`, root);
  await page.goto(`/vacuum/runs/${id}`);
  const text = await main(page).innerText();
  assert.match(text, /incomplete/);
  assert.match(text, /disk2/);
  await page.getByRole('link', { name: 'disk2' }).first().waitFor();
  await page.getByText('hayloft store check disk2').first().waitFor();
  await page.getByRole('link', { name: 'Check disk2' }).first().click();
  await page.waitForURL('**/stores/disk2#check');
  await page.getByRole('button', { name: 'Check this store' }).waitFor();
});
