// Scopes and their links: made, changed with the effect shown first, refused where the rules say so.
import assert from 'node:assert/strict';
import { api, eventually, put, test, token } from './lib.js';
import { addDisk, finishedRun } from './seed.js';

await addDisk('disk2');
await addDisk('disk3');
await api('POST', '/scopes', { name: 'films', stores: ['disk2'] });
for (let n = 0; n < 12; n += 1) await put('films', `reel-${n}.mkv`, Buffer.alloc(100_000, n), 'video/x-matroska');

const effect = (page) => page.locator('#effect');
const link = async (scope, store) => api('GET', `/scopes/${scope}/stores/${store}`);

test('a policy is edited, its effect is shown before it is saved, and the next run has it', async ({ page }) => {
  await page.goto('/scopes/films/links/disk2');
  await effect(page).getByText('Looked at').waitFor();
  await page.getByLabel('Populate').check();
  await effect(page).getByText('Nothing is saved yet').waitFor();
  await effect(page).getByText('12 files').first().waitFor();
  const shown = await effect(page).innerText();
  assert.match(shown, /copy.*local.*disk2/s);
  assert.match(shown, /1\.2 MB/);
  assert.equal((await link('films', 'disk2')).policy.populate, false, 'only looked at');
  await page.getByRole('button', { name: 'Save' }).click();
  await eventually('it is saved', async () => (await link('films', 'disk2')).policy.populate);
  const run = await api('GET', `/vacuum/runs/${await finishedRun()}`);
  assert.equal(run.copied.files, 12);
});

test('what the rules forbid is refused with its reason, and what was typed is kept', async ({ page }) => {
  await page.goto('/scopes/films/links/disk2');
  await page.getByLabel('Upload priority').fill('a lot');
  await page.getByLabel('Soft limit').fill('80 parsecs');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('alert').first().waitFor();
  const field = page.getByLabel('Upload priority');
  assert.equal(await field.inputValue(), 'a lot');
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  assert.equal(await page.getByLabel('Soft limit').inputValue(), '80 parsecs');
  await field.fill('');
  // The preview says it too, while it is typed.
  await effect(page).getByText('"80 parsecs" is not a size').waitFor();
  await page.getByLabel('Soft limit').fill('');
  await page.getByLabel('Populate').check();
  await page.getByLabel('Drain').selectOption({ index: 1 });
  await effect(page).getByText('could not be saved').waitFor();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('alert').first().waitFor();
  assert.deepEqual((await link('films', 'disk2')).policy.drain, false);
});

test('in the matrix a link is edited in place, and Escape leaves it as it was', async ({ page }) => {
  await page.goto('/scopes');
  const cell = page.getByRole('cell').getByRole('link', { name: /films in local/ });
  await cell.click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Upload priority').fill('55');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal((await link('films', 'local')).upload_priority, 100);
  await cell.click();
  await dialog.getByLabel('Upload priority').fill('77');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await eventually('it is saved', async () => (await link('films', 'local')).upload_priority === 77);
  await page.getByRole('cell').filter({ hasText: 'up 77' }).waitFor();
});

test('one effect is asked for at a time, and the last word has it', async ({ page }) => {
  await page.goto('/scopes/films/links/local');
  await effect(page).getByText('Looked at').waitFor();
  let under = 0;
  let most = 0;
  await page.route('**/effect', async (route) => {
    under += 1;
    most = Math.max(most, under);
    await new Promise((resolve) => setTimeout(resolve, 900));
    await route.continue();
    under -= 1;
  });
  for (const limit of ['900KB', '800 parsecs', '500KB']) {
    await page.getByLabel('Soft limit').fill(limit);
    await page.waitForTimeout(450);
  }
  await effect(page).getByText('remove 7 files').waitFor();
  assert.equal(most, 1);
  // It is said aloud a moment after it is shown.
  await page.getByRole('status').filter({ hasText: 'remove 7 files' }).waitFor({ state: 'attached' });
});

test('a session that is over says so where a part of the page would be', { expected: /^401 / }, async ({ page, context }) => {
  await page.goto('/scopes/films/links/local');
  await effect(page).getByText('Looked at').waitFor();
  await context.clearCookies();
  await page.getByLabel('Soft limit').fill('900KB');
  await effect(page).getByText('The session is over').waitFor();
  assert.equal(await effect(page).getByLabel('token', { exact: false }).count(), 0);
  await effect(page).getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('token', { exact: false }).fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/scopes/films/links/local');
});

test('a store is linked from the matrix and unlinked again', async ({ page }) => {
  await page.goto('/scopes/films/links/disk3');
  await page.getByRole('button', { name: 'Link the store' }).click();
  await eventually('it is linked', async () => (await api('GET', '/scopes/films')).stores.some((l) => l.store === 'disk3'));
  await page.goto('/scopes/films/links/disk3');
  await page.getByText('Unlink disk3 from films').first().click();
  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Unlink', exact: true }).click();
  await eventually('it is unlinked', async () => !(await api('GET', '/scopes/films')).stores.some((l) => l.store === 'disk3'));
});

test('a scope is made, opened to the public and deleted by typing its name', async ({ page }) => {
  await page.goto('/scopes/new');
  await page.getByLabel('Name').fill('no spaces allowed');
  await page.getByRole('button', { name: 'Create the scope' }).click();
  await page.getByRole('alert').waitFor();
  assert.equal(await page.getByLabel('Name').inputValue(), 'no spaces allowed');
  await page.getByLabel('Name').fill('papers');
  await page.getByRole('button', { name: 'Create the scope' }).click();
  await eventually('it is made', async () => (await api('GET', '/scopes')).some((s) => s.name === 'papers'));
  await page.goto('/scopes/papers');
  await page.getByRole('button', { name: 'Open it for reading' }).click();
  await page.getByRole('button', { name: 'Close it to the public' }).waitFor();
  await put('papers', 'a.txt', 'a');
  await page.goto('/scopes/papers');
  await page.getByText('Delete this scope').click();
  const button = page.getByRole('button', { name: 'Delete the scope' });
  assert.ok(await button.isDisabled(), 'the name has to be typed');
  await page.getByLabel("Type the scope's name").fill('papers');
  await button.click();
  await page.getByRole('alert').first().waitFor();
  await page.getByLabel('Delete it with all that it has').check();
  await page.getByLabel("Type the scope's name").fill('papers');
  await button.click();
  await eventually('it is gone', async () => !(await api('GET', '/scopes')).some((s) => s.name === 'papers'));
});

test('without JavaScript the effect is asked for with a button, and saving works', { javaScriptEnabled: false }, async ({ page }) => {
  await page.goto('/scopes/films/links/local');
  await page.getByLabel('Soft limit').fill('300KB');
  await page.getByRole('button', { name: 'Show the effect' }).click();
  await page.getByText('Nothing is saved yet').waitFor();
  assert.equal(await page.getByLabel('Soft limit').inputValue(), '300KB');
  assert.equal((await link('films', 'local')).policy.soft_max_size, null);
  await page.getByRole('button', { name: 'Save' }).click();
  await eventually('it is saved', async () => (await link('films', 'local')).policy.soft_max_size === 300_000);
});
