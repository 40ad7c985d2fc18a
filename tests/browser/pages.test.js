// What holds for every page: no serious fault that axe finds, a phone's width, the keyboard, no
// JavaScript, and names that mean harm.
import assert from 'node:assert/strict';
import { violations } from './axe.js';
import { test } from './lib.js';
import { CONTENT_TYPE, PATHS, TOKEN_NAME, harmed } from './names.js';
import { SCOPE, everyPage, seed } from './seed.js';

const seeded = await seed();
const pages = everyPage(seeded);
const PHONE = { width: 390, height: 844 };

/** Goes to a page and waits for the parts that it loads by itself. */
async function visit(page, address) {
  await page.goto(address);
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"]'));
}

// Colours are all that differs in the dark.
for (const [colorScheme, rules] of [['light', undefined], ['dark', ['color-contrast', 'link-in-text-block']]]) {
  test(`axe finds no serious or critical violation on any page, ${colorScheme}`, { colorScheme }, async ({ page }) => {
    const found = [];
    for (const address of pages) {
      await visit(page, address);
      found.push(...(await violations(page, rules)).map((violation) => `${address}: ${violation}`));
    }
    await page.context().clearCookies();
    await page.goto('/signin');
    found.push(...(await violations(page, rules)).map((violation) => `/signin: ${violation}`));
    assert.deepEqual(found, []);
  });
}

test("no page is wider than a phone, and the way to every section is on the screen", { viewport: PHONE, hasTouch: true, isMobile: true }, async ({ page }) => {
  const wide = [];
  for (const address of pages) {
    await visit(page, address);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > PHONE.width) wide.push(`${address}: ${width} px, for ${await widest(page)}`);
    // Nor does a table hide its buttons beyond the edge.
    const tables = await page.locator('.wide').evaluateAll((all) => all
      .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.innerText.slice(0, 60)));
    wide.push(...tables.map((table) => `${address}: the table ${table}`));
  }
  assert.deepEqual(wide, []);
  for (const name of ['Scopes', 'Vacuum', 'Access']) {
    await page.getByRole('navigation').getByRole('link', { name }).tap();
    await page.getByRole('heading', { level: 1 }).waitFor();
    const height = await page.getByRole('navigation').getByRole('link', { name }).evaluate((a) => a.getBoundingClientRect().height);
    assert.ok(height >= 24, `${name}: a target of ${height} px is too small for a finger (WCAG 2.5.8)`);
  }
});

/** The elements that stand out of the screen. */
function widest(page) {
  return page.evaluate(() => [...document.querySelectorAll('main *, header *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.wide'))
    .slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(' | '));
}

test('the keyboard reaches everything: skip link first, then the head in order, each with a visible focus', async ({ page }) => {
  await visit(page, '/scopes');
  const focused = () => page.evaluate(() => {
    const e = document.activeElement;
    const style = getComputedStyle(e);
    const box = e.getBoundingClientRect();
    return { text: e.innerText.trim() || e.getAttribute('aria-label') || e.name || e.id, outline: parseFloat(style.outlineWidth) * (style.outlineStyle === 'none' ? 0 : 1), shown: box.right > 0 && box.width > 0 };
  });
  await page.keyboard.press('Tab');
  const skip = await focused();
  assert.match(skip.text, /skip/i);
  assert.ok(skip.shown, 'the skip link comes into view with the focus');
  await page.keyboard.press('Enter');
  await page.waitForURL('**#main');
  await page.keyboard.press('Tab');
  assert.ok(await page.evaluate(() => document.querySelector('main').contains(document.activeElement)), 'the skip link leads into the content');
  for (const address of ['/', '/access', '/stores/local', `/scopes/${SCOPE}/links/disk2`]) {
    await visit(page, address);
    const order = [];
    for (let n = 0; n < 80; n += 1) {
      await page.keyboard.press('Tab');
      if (await page.evaluate(() => document.activeElement === document.body)) break;
      const now = await focused();
      order.push(now.text);
      assert.ok(now.shown && now.outline >= 2, `${address}: ${JSON.stringify(now)} has the focus and does not show it`);
    }
    const at = ['Overview', 'Scopes', 'Vacuum', 'Access'].map((name) => order.indexOf(name));
    assert.deepEqual(at, [...at].sort((a, b) => a - b), `${address}: ${order}`);
    assert.ok(at[0] > 0 && order.length > 6, `${address}: ${order}`);
  }
});

test('without JavaScript every page shows its content', { javaScriptEnabled: false }, async ({ page }) => {
  for (const address of pages) {
    await page.goto(address);
    await page.getByRole('heading', { level: 1 }).first().waitFor({ state: 'attached' });
    assert.equal(await page.locator('[aria-busy="true"]').count(), 0, `${address} waits for a script`);
    assert.doesNotMatch(await page.locator('main').innerText(), /\bLoading/, address);
  }
});

test('names with markup, quotes and right-to-left marks do no harm and are shown as they are', async ({ page }) => {
  for (const address of pages) {
    await visit(page, address);
    assert.equal(await harmed(page), false, address);
    assert.equal(await page.locator('main script, main img[src="x"], [onmouseover]').count(), 0, address);
  }
  await visit(page, `/browse/${SCOPE}?prefix=harm/`);
  const listed = await page.locator('main').innerText();
  for (const path of PATHS.filter((path) => path.split('/').length === 2 && path.length < 100)) {
    const name = path.split('/')[1];
    assert.ok(listed.includes(name), `${name} is not listed as it is:\n${listed}`);
  }
  for (const path of PATHS) {
    await visit(page, `/browse/${SCOPE}/file?path=${encodeURIComponent(path)}`);
    assert.equal(await harmed(page), false, path);
    const text = await page.locator('main').innerText();
    assert.ok(text.includes(path.split('/').at(-1).slice(0, 40)), `${path} is not shown:\n${text}`);
    assert.ok(text.includes(CONTENT_TYPE.split(';')[0]), text);
  }
  await visit(page, '/access');
  assert.ok((await page.locator('main').innerText()).includes(TOKEN_NAME.slice(0, 20)));
  assert.equal(await harmed(page), false);
});

test('a name that turns the text around cannot turn its neighbours', async ({ page }) => {
  await visit(page, '/access');
  // What follows the mark in the same row still reads from left to right.
  const row = page.getByRole('row').filter({ hasText: TOKEN_NAME.slice(0, 20) });
  const isolated = await row.locator('b, bdi, td').first().evaluate((e) => {
    for (let at = e.querySelector('bdi, b') ?? e; at; at = at.parentElement) {
      if (/isolate|plaintext/.test(getComputedStyle(at).unicodeBidi)) return true;
      if (at.tagName === 'TR') return false;
    }
    return false;
  });
  assert.ok(isolated, 'the name stands in an element with its own direction');
});
