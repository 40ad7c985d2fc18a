// Stores: made with their check shown live, limited, given up, refused deletion and forced.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { api, eventually, put, scratch, send, test } from './lib.js';
import { addDisk } from './seed.js';

const s3 = { endpoint: process.env.HAYLOFT_S3_ENDPOINT, key: process.env.HAYLOFT_S3_KEY, secret: process.env.HAYLOFT_S3_SECRET };
const names = async () => (await api('GET', '/stores')).map((store) => store.name);
const steps = (page) => page.locator('#steps').getByRole('listitem');

test('a local store is made, and its check is shown step by step', async ({ page }) => {
  const root = join(scratch, `plain "quoted" <i>`);
  await mkdir(root);
  await page.goto('/stores/new');
  await page.getByLabel('Name', { exact: true }).fill('attic');
  await page.getByLabel('Directory').fill(root);
  await page.getByRole('textbox', { name: 'Soft limit' }).fill('80GB');
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.waitForURL('**/stores/attic*');
  await page.getByText('The store works').waitFor();
  assert.ok((await steps(page).count()) > 3);
  assert.match(await steps(page).first().innerText(), /\d+ ms/);
  assert.equal((await api('GET', '/stores/attic')).soft_max_size, 80_000_000_000);
  assert.ok(!page.url().includes('check='), 'what asked for the check is used up');
  await page.reload();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('status').filter({ hasText: 'Saved' }).waitFor();
  assert.equal(await steps(page).count(), 0, 'neither a reload nor saving checks the store');
});

test('a place that cannot be a store is refused, what was typed is kept, nothing is made', async ({ page }) => {
  await page.goto('/stores/new');
  await page.getByLabel('Name', { exact: true }).fill('bad');
  await page.getByLabel('Directory').fill('not/absolute');
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.getByRole('alert').first().waitFor();
  assert.equal(await page.getByLabel('Directory').inputValue(), 'not/absolute');
  const full = join(scratch, 'full');
  await mkdir(full);
  await writeFile(join(full, 'foreign.txt'), 'not ours');
  await page.getByLabel('Directory').fill(full);
  await page.getByRole('textbox', { name: 'Soft limit' }).fill('lots');
  await page.getByRole('button', { name: 'Create the store' }).click();
  const limit = page.getByRole('textbox', { name: 'Soft limit' });
  await page.getByRole('alert').first().waitFor();
  assert.equal(await limit.getAttribute('aria-invalid'), 'true');
  await limit.fill('');
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.getByText(/not empty|adopt/i).first().waitFor();
  assert.ok(!(await names()).includes('bad'));
});

test('an S3 store is made, checked, and its secret is shown nowhere', async ({ page }) => {
  await page.goto('/stores/new?backend=s3');
  await page.getByLabel('Name', { exact: true }).fill('cloud');
  await page.getByLabel('Bucket', { exact: true }).fill('browser');
  await page.getByLabel('Endpoint', { exact: true }).fill(s3.endpoint);
  await page.getByLabel('Path style').check();
  await page.getByLabel('Access key id').fill(s3.key);
  await page.getByLabel('Secret access key').fill('wrong-secret');
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.getByRole('alert').first().waitFor();
  assert.ok(!(await page.content()).includes('wrong-secret'), 'a secret is not sent back');
  assert.equal(await page.getByLabel('Bucket', { exact: true }).inputValue(), 'browser');
  await page.getByLabel('Secret access key').fill(s3.secret);
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.waitForURL('**/stores/cloud*');
  await page.getByText('The store works').waitFor();
  const text = await page.locator('#steps').innerText();
  for (const step of ['marker', 'multipart', 'presign', 'clock']) assert.match(text, new RegExp(step, 'i'));
  assert.ok(!(await page.content()).includes(s3.secret));
});

test('what to do about a bucket that is not reached is told in the words of the form', async ({ page }) => {
  await page.goto('/stores/new?backend=s3');
  await page.getByLabel('Name', { exact: true }).fill('nowhere');
  await page.getByLabel('Bucket', { exact: true }).fill('elsewhere');
  // Nothing listens there.
  await page.getByLabel('Endpoint', { exact: true }).fill('http://127.0.0.1:1');
  await page.getByLabel('Access key id').fill(s3.key);
  await page.getByLabel('Secret access key').fill(s3.secret);
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.getByText('correct host, port and path of Endpoint').first().waitFor();
  assert.doesNotMatch(await page.locator('main').innerText(), /--endpoint/);
});

test('the bars are filled in with what the next run would move, and with the time', async ({ page }) => {
  for (const address of ['/', '/stores', '/stores/local']) {
    await page.goto(address);
    await page.getByText(/as looked at .*(just now|ago)/).first().waitFor();
    await page.waitForFunction(() => !document.querySelector('[aria-busy]'));
  }
});

test('limits are changed with their effect shown', async ({ page }) => {
  await api('POST', '/scopes', { name: 'music', stores: ['attic'] });
  for (let n = 0; n < 5; n += 1) await put('music', `song-${n}.flac`, Buffer.alloc(50_000, n), 'audio/flac');
  await page.goto('/stores/local');
  await page.getByRole('textbox', { name: 'Soft limit' }).fill('100KB');
  await page.locator('#effect').getByText(/files/).first().waitFor();
  assert.equal((await api('GET', '/stores/local')).soft_max_size, null);
  await page.getByRole('button', { name: 'Save' }).click();
  await eventually('it is saved', async () => (await api('GET', '/stores/local')).soft_max_size === 100_000);
  await page.goto('/stores/local');
  await page.getByRole('textbox', { name: 'Soft limit' }).fill('');
  await page.getByRole('button', { name: 'Save' }).click();
  await eventually('it is unset', async () => (await api('GET', '/stores/local')).soft_max_size === null);
});

test('a store that is in use cannot be given up, and the page names the files in the way', async ({ page }) => {
  await page.goto('/stores/local');
  await page.getByRole('link', { name: 'Can I give this store up?' }).click();
  await page.waitForURL('**/stores/local/evacuation');
  const text = await page.locator('main').innerText();
  assert.match(text, /Not yet/);
  assert.match(text, /song-0\.flac/);
});

test('deleting a store in use is refused with what stands in the way; force needs its name typed', async ({ page }) => {
  await addDisk('doomed');
  await api('POST', '/scopes', { name: 'lost', stores: ['doomed'], no_local: true });
  await put('lost', 'only-here.txt', 'gone soon', 'text/plain');
  await page.goto('/stores/doomed');
  await page.getByRole('link', { name: 'Delete this store' }).click();
  await page.waitForURL('**/stores/doomed/delete');
  assert.match(await page.locator('main').innerText(), /1 file.*would lose (its|their) last readable replica/s);
  await page.getByLabel("Type the store's name").first().fill('doomed');
  await page.getByRole('button', { name: 'Delete the store' }).click();
  await page.getByRole('alert').first().waitFor();
  assert.ok((await names()).includes('doomed'), 'refused');
  const force = page.getByRole('button', { name: /Forget the store/ });
  assert.ok(await force.isDisabled(), 'the name has to be typed');
  const word = page.getByLabel("Type the store's name").last();
  await word.fill('doome');
  assert.ok(await force.isDisabled());
  await word.fill('doomed');
  await force.click();
  await page.getByText('is deleted').first().waitFor();
  await page.waitForLoadState();
  assert.ok(!(await names()).includes('doomed'));
  assert.match(await page.locator('main').innerText(), /[0-9a-f]{64}/, 'the lost digests are listed');
  assert.equal((await send('GET', '/files/lost/only-here.txt')).status, 503);
});

test('an empty store is deleted in the orderly way', async ({ page }) => {
  await addDisk('spare');
  await page.goto('/stores/spare/delete');
  await page.getByLabel("Type the store's name").first().fill('spare');
  await page.getByRole('button', { name: 'Delete the store' }).click();
  await eventually('it is gone', async () => !(await names()).includes('spare'));
});

test('without JavaScript a store is made and checked', { javaScriptEnabled: false }, async ({ page }) => {
  const root = join(scratch, 'plain');
  await mkdir(root);
  await page.goto('/stores/new');
  await page.getByLabel('Name', { exact: true }).fill('plain');
  await page.getByLabel('Directory').fill(root);
  await page.getByRole('button', { name: 'Create the store' }).click();
  await page.goto('/stores/plain');
  await page.getByRole('button', { name: 'Check this store' }).click();
  await page.getByText('The store works').waitFor();
});
