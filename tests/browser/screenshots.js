// Writes every page to HAYLOFT_PICTURES: NAME-{light,dark}-{desktop,phone}.png. Run with `make screenshots`.
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { api, eventually, open, signIn } from './lib.js';

const directory = process.env.HAYLOFT_PICTURES;
assert.ok(directory, 'HAYLOFT_PICTURES names the directory of the pictures');
const SCREENS = {
  desktop: { viewport: { width: 1280, height: 900 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 },
};
const FILE = 'images/acme-agent/acme-agent-8.0.0.qcow2';

/** While nothing runs. */
const QUIET = {
  overview: '/',
  scopes: '/scopes',
  'scope-new': '/scopes/new',
  scope: '/scopes/packages',
  'scope-draining': '/scopes/logs',
  link: '/scopes/builds/links/local',
  'link-drain': '/scopes/logs/links/local',
  'store-new': '/stores/new',
  'store-local': '/stores/local',
  'store-s3': '/stores/cold',
  'store-archive': '/stores/vault',
  'store-unavailable': '/stores/nas',
  'store-check': '/stores/cold?check=1&done=store-created',
  'store-evacuation': '/stores/cold/evacuation',
  'store-delete': '/stores/disk2/delete',
  vacuum: '/vacuum',
  'run-complete': '/vacuum/runs/58',
  'run-incomplete': '/vacuum/runs/53',
  'run-failed': '/vacuum/runs/32',
  browse: '/browse',
  'browse-scope': '/browse/packages',
  'browse-prefix': '/browse/media?prefix=photos/2026/',
  'browse-find': '/browse/backups?q=postgres/shop/2026-10',
  'file-explain': null,
  access: '/access',
  changes: '/access/changes',
  'not-found': '/stores/nowhere',
};
/** While a run is at work. */
const BUSY = { 'overview-busy': '/', 'vacuum-busy': '/vacuum', 'run-live': '/vacuum/runs/current' };

async function shoot(page, name, address, look) {
  await page.goto(address);
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"], [data-load]'), null, { timeout: 5000 }).catch(() => {});
  await page.waitForTimeout(150);
  await page.screenshot({ path: join(directory, `${name}-${look}.png`), fullPage: true });
}

async function shootAll(pages, signedIn = true) {
  for (const colorScheme of ['light', 'dark']) {
    for (const [screen, settings] of Object.entries(SCREENS)) {
      const context = await open({ colorScheme, ...settings });
      const page = await context.newPage();
      if (signedIn) await signIn(page);
      for (const [name, address] of Object.entries(pages)) await shoot(page, name, address, `${colorScheme}-${screen}`);
      await context.close();
    }
  }
}

test('pictures of every page', async () => {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await api('POST', '/stores/nas/check');
  QUIET['file-explain'] = `/browse/packages/file?path=${encodeURIComponent(FILE)}`;
  const only = process.env.HAYLOFT_TEST_ONLY?.split(',');
  const chosen = (pages) => Object.fromEntries(Object.entries(pages).filter(([name]) => !only || only.includes(name)));
  await shootAll(chosen({ 'sign-in': '/signin' }), false);
  await shootAll(chosen(QUIET));
  const { id } = await api('POST', '/vacuum/runs');
  await eventually('the run copies', async () => (await api('GET', `/vacuum/runs/${id}`)).progress?.done.files > 4);
  BUSY['run-live'] = `/vacuum/runs/${id}`;
  await shootAll(chosen(BUSY));
  await api('DELETE', `/vacuum/runs/${id}`);
});
