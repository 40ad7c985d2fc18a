// Files: uploaded by choosing and by dropping, found, downloaded, deleted, brought back, explained.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { api, eventually, put, scratch, send, test } from './lib.js';
import { PATHS, harmed } from './names.js';
import { addDisk, finishedRun } from './seed.js';

await addDisk('disk2');
await api('POST', '/scopes', { name: 'docs', stores: ['disk2'] });
await api('PATCH', '/scopes/docs/stores/disk2', { policy: { populate: true } });
await put('docs', 'letters/2026/to-the-bank.txt', 'Dear bank', 'text/plain');
for (let n = 0; n < 250; n += 1) await put('docs', `scans/page-${String(n).padStart(3, '0')}.tif`, `${n}`, 'image/tiff');

const content = async (path) => (await send('GET', `/files/docs/${path}`)).text();
const row = (page, name) => page.getByRole('row').filter({ hasText: name });

test('files are chosen, uploaded with their progress, and listed', async ({ page }) => {
  const names = ['plan.txt', `q"uote <b>.txt`];
  for (const name of names) await writeFile(join(scratch, name), `content of ${name}`);
  await page.goto('/browse/docs?prefix=new/');
  await page.getByLabel('Choose files').setInputFiles(names.map((name) => join(scratch, name)));
  for (const name of names) await row(page, name).first().waitFor();
  assert.equal(await harmed(page), false);
  assert.equal(await content('new/plan.txt'), 'content of plan.txt');
});

test('a large upload shows how far it is', async ({ page, context }) => {
  // A minute's worth: how far it is can be seen on a busy machine too, and the rest need not be waited for.
  await writeFile(join(scratch, 'large.bin'), Buffer.alloc(30_000_000, 5));
  const session = await context.newCDPSession(page);
  await page.goto('/browse/docs?prefix=new/');
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 500_000 });
  await page.getByLabel('Choose files').setInputFiles(join(scratch, 'large.bin'));
  const bar = page.getByRole('progressbar', { name: /large\.bin/ });
  await page.waitForFunction(() => document.querySelector('progress')?.value > 0.01, null, { polling: 20 });
  assert.ok((await bar.count()) <= 1);
  await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await row(page, 'large.bin').waitFor({ timeout: 120_000 });
});

test('files are dropped onto the page, and a name that exists is replaced only when asked', { expected: /^412 / }, async ({ page }) => {
  await put('docs', 'new/dropped.txt', 'old', 'text/plain');
  await page.goto('/browse/docs?prefix=new/');
  const drop = async () => {
    const data = await page.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(['dropped here'], 'dropped.txt', { type: 'text/plain' }));
      return transfer;
    });
    await page.dispatchEvent('main', 'dragenter', { dataTransfer: data });
    await page.dispatchEvent('main', 'drop', { dataTransfer: data });
  };
  await drop();
  const replace = page.getByRole('button', { name: 'Replace it' });
  await replace.waitFor();
  assert.equal(await content('new/dropped.txt'), 'old');
  await replace.click();
  await page.getByRole('listitem').filter({ hasText: 'stored' }).waitFor();
  assert.equal(await content('new/dropped.txt'), 'dropped here');
});

test('a dropped file that cannot be read keeps none of the others out', async ({ page }) => {
  await page.goto('/browse/docs?prefix=new/');
  await page.evaluate(() => {
    const file = (name, give) => ({ isFile: true, fullPath: `/box/${name}`, file: give });
    const entries = [
      file('gone.txt', (_, fail) => fail(new DOMException('it is gone', 'NotFoundError'))),
      file('there.txt', (give) => give(new File(['there'], 'there.txt', { type: 'text/plain' }))),
    ];
    const reader = { readEntries: (give) => give(entries.splice(0)) };
    const box = { isDirectory: true, fullPath: '/box', createReader: () => reader };
    const event = new Event('drop', { bubbles: true, cancelable: true });
    event.dataTransfer = { types: ['Files'], items: [{ webkitGetAsEntry: () => box }], files: [] };
    document.querySelector('main').dispatchEvent(event);
  });
  await page.getByRole('listitem').filter({ hasText: 'gone.txt' }).getByText('cannot be read').waitFor();
  await page.getByRole('listitem').filter({ hasText: 'there.txt' }).getByText('stored').waitFor();
  assert.equal(await content('new/box/there.txt'), 'there');
});

test('without JavaScript files are uploaded by a form, and what is there stays', { javaScriptEnabled: false }, async ({ page }) => {
  await put('docs', 'plain/old.txt', 'old', 'text/plain');
  const files = ['old.txt', `n"ew.txt`].map((name) => ({ name, mimeType: 'text/plain', buffer: Buffer.from('sent') }));
  await page.goto('/browse/docs?prefix=plain/');
  await page.getByLabel('Files to upload').setInputFiles(files);
  await page.getByRole('button', { name: 'Upload', exact: true }).click();
  await page.locator('#h-files', { hasText: 'there is a file of this name already' }).waitFor();
  await row(page, `n"ew.txt`).waitFor();
  assert.equal(await content('plain/old.txt'), 'old');
  await page.getByLabel('Files to upload').setInputFiles(files.slice(0, 1));
  await page.getByLabel('Replace files').check();
  await page.getByRole('button', { name: 'Upload', exact: true }).click();
  await page.getByText('Uploaded.').waitFor();
  assert.equal(await content('plain/old.txt'), 'sent');
});

test('a file is found by the beginning of its path, downloaded, deleted and brought back', async ({ page }) => {
  await page.goto('/browse/docs');
  await page.getByRole('link', { name: 'letters/' }).click();
  await page.getByRole('link', { name: '2026/' }).click();
  const downloading = page.waitForEvent('download');
  await row(page, 'to-the-bank.txt').getByRole('link', { name: 'Download' }).click();
  const download = await downloading;
  assert.equal(download.suggestedFilename(), 'to-the-bank.txt');
  assert.equal(await readFile(await download.path(), 'utf8'), 'Dear bank');
  await page.goto('/browse/docs');
  await page.getByLabel('Begins with').fill('letters/20');
  await page.getByRole('button', { name: 'Find' }).click();
  await page.getByText('2026').first().waitFor();
  await page.goto('/browse/docs?prefix=letters/2026/');
  page.once('dialog', (dialog) => dialog.accept());
  await row(page, 'to-the-bank.txt').getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('link', { name: 'Deleted', exact: true }).click();
  await page.getByRole('button', { name: /Bring back/ }).click();
  await page.goto('/browse/docs?prefix=letters/2026/');
  await row(page, 'to-the-bank.txt').waitFor();
  assert.equal(await content('letters/2026/to-the-bank.txt'), 'Dear bank');
});

test('a replaced file is brought back, and the newer one after it', async ({ page }) => {
  await put('docs', 'drafts/plan.txt', 'first', 'text/plain');
  await put('docs', 'drafts/plan.txt', 'second', 'text/plain');
  for (const expected of ['first', 'second']) {
    await page.goto('/browse/docs?deleted=1&prefix=drafts/');
    await row(page, 'plan.txt').getByText('replaced by a newer file').waitFor();
    page.once('dialog', (dialog) => dialog.accept());
    await row(page, 'plan.txt').getByRole('button', { name: /Bring back/ }).click();
    await eventually('it is back', async () => (await content('drafts/plan.txt')) === expected);
  }
});

test('a long folder is shown page by page, each file once', async ({ page }) => {
  await page.goto('/browse/docs?prefix=scans/');
  const seen = [];
  for (;;) {
    seen.push(...(await page.getByRole('row').getByRole('rowheader').allInnerTexts()));
    const next = page.getByRole('link', { name: 'Next page' });
    if ((await next.count()) === 0) break;
    const here = page.url();
    await next.click();
    await page.waitForURL((to) => to.href !== here);
  }
  assert.equal(new Set(seen).size, 250);
  assert.equal(seen.length, 250);
});

test('a file is explained: where it is, who serves it, what would move it and why', async ({ page }) => {
  await put('docs', 'report.pdf', 'a report', 'application/pdf');
  await page.goto('/browse/docs/file?path=report.pdf');
  assert.match(await row(page, 'local').innerText(), /present.*serves/s);
  await page.getByText(/copy.* disk2/i).first().waitFor();
  await finishedRun();
  await page.goto('/browse/docs/file?path=report.pdf');
  await row(page, 'disk2').waitFor();
  await page.getByText('Nothing: it is where the policies want it').waitFor();
});

test('names that mean harm are uploaded, shown, downloaded and deleted like others', async ({ page }) => {
  for (const path of PATHS.slice(0, 3)) {
    await put('docs', path, 'harmless', 'text/html');
    await page.goto(`/browse/docs/file?path=${encodeURIComponent(path)}`);
    const downloading = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Download' }).click();
    assert.equal(await readFile(await (await downloading).path(), 'utf8'), 'harmless');
    page.once('dialog', (dialog) => dialog.accept());
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.waitForURL(/deleted|browse\/docs\?|done=/);
    assert.equal(await harmed(page), false);
  }
});

test('what an uploader calls HTML does not run when it is opened', { expected: /sandboxed/ }, async ({ page, context }) => {
  await put('docs', 'evil.html', '<h1>hi</h1><script>document.title="harmed";localStorage.x=1</script>', 'text/html');
  const opened = await context.newPage();
  await opened.goto('/files/docs/evil.html');
  assert.notEqual(await opened.title(), 'harmed');
  await opened.close();
  await page.goto('/browse/docs');
});
