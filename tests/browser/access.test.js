import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { api, open, signIn, test, url } from './lib.js';
import { TOKEN_NAME, harmed } from './names.js';

const tokenField = (page) => page.getByLabel('token', { exact: false });

test('a token of an instance admin signs in, and signing out ends the session', { signedIn: false }, async ({ page, context }) => {
  await page.goto('/');
  await signIn(page);
  const [cookie] = await context.cookies();
  assert.equal(cookie.httpOnly, true);
  assert.equal(cookie.sameSite, 'Strict');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await tokenField(page).waitFor();
  await context.addCookies([cookie]);
  await page.goto('/');
  await tokenField(page).waitFor();
});

test('the overview of a new instance leads to its first scope', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('link', { name: 'Make the first scope' }).click();
  await page.waitForURL('**/scopes/new');
  await page.getByRole('heading', { name: 'New scope' }).waitFor();
});

test('a wrong token is refused beside the field', { signedIn: false }, async ({ page }) => {
  await page.goto('/signin');
  await tokenField(page).fill('hay_not_a_token');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('unknown, revoked or expired').waitFor();
  await tokenField(page).waitFor();
});

test('a token that is not an admin of the whole instance does not sign in', { signedIn: false }, async ({ page }) => {
  const { token: writer } = await api('POST', '/tokens', { name: 'writer', role: 'write' });
  await page.goto('/signin');
  await tokenField(page).fill(writer);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('admin token of the whole instance').waitFor();
});

test('a link signs in once, and its second use is refused', { signedIn: false }, async ({ page, context }) => {
  const link = await api('POST', '/tokens/link');
  await page.goto(link.url);
  await page.waitForURL(`${url}/`);
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  await context.clearCookies();
  await page.goto(link.url);
  await page.getByText('used already').waitFor();
  await page.goto('/');
  await tokenField(page).waitFor();
});

test('a page asked for without a session leads to the door', { signedIn: false }, async ({ page }) => {
  await page.goto('/scopes');
  await tokenField(page).waitFor();
});

test('a token is made, shown once, used, listed with its last use, and revoked', async ({ page }) => {
  await page.goto('/access');
  await page.getByLabel('Name').fill('build farm');
  await page.getByLabel('Role').selectOption('admin');
  await page.getByLabel('Expires').fill('30d');
  await page.getByRole('button', { name: 'Create the token' }).click();
  const secret = await page.getByRole('status').locator('code.copy').innerText();
  const asked = (path) => fetch(`${url}${path}`, { headers: { authorization: `Bearer ${secret}` } });
  assert.equal((await asked('/api/v1/status')).status, 200);
  await page.goto('/access');
  assert.ok(!(await page.content()).includes(secret), 'the token is shown once only');
  const row = page.getByRole('row').filter({ hasText: 'build farm' });
  assert.match(await row.innerText(), /in (29|30) d/);
  page.once('dialog', (dialog) => dialog.dismiss());
  await row.getByRole('button', { name: 'Revoke' }).click();
  assert.equal((await asked('/api/v1/status')).status, 200, 'the question was answered with no');
  page.once('dialog', (dialog) => dialog.accept());
  await row.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('status').filter({ hasText: 'revoked' }).waitFor();
  assert.equal(await row.count(), 0);
  assert.equal((await asked('/api/v1/status')).status, 401);
});

test('a mistake in a form stands beside its field, and what was typed is kept', async ({ page }) => {
  await page.goto('/access');
  await page.getByLabel('Name').fill(TOKEN_NAME);
  await page.getByLabel('Expires').fill('next tuesday');
  await page.getByRole('button', { name: 'Create the token' }).click();
  const field = page.getByLabel('Expires');
  await page.getByRole('alert').waitFor();
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  const description = await page.locator(`[id="${await field.getAttribute('aria-describedby')}"]`).innerText();
  assert.match(description, /90d/);
  assert.equal(await field.inputValue(), 'next tuesday');
  assert.equal(await page.getByLabel('Name').inputValue(), TOKEN_NAME);
  assert.equal(await harmed(page), false);
});

test('a sign-in link made on the page lets another browser in', async ({ page }) => {
  await page.goto('/access');
  await page.getByRole('button', { name: 'Make a link' }).click();
  const link = await page.getByRole('status').locator('code.copy').innerText();
  const other = await open();
  const visitor = await other.newPage();
  await visitor.goto(link);
  await visitor.getByRole('button', { name: 'Sign out' }).waitFor();
  await other.close();
});

test('every change is listed with who, what, before and after', async ({ page }) => {
  await api('POST', '/scopes', { name: 'audited' });
  await api('PATCH', '/scopes/audited', { public_read: true });
  await page.goto('/access/changes');
  const newest = page.getByRole('listitem').filter({ hasText: 'audited' }).first();
  const text = await newest.innerText();
  assert.match(text, /by token:t/);
  assert.match(text, /public_read/);
  assert.match(text, /false.*true/s);
});

test('a form that another site sends is refused', { elsewhere: true }, async ({ page, context }) => {
  const before = (await api('GET', '/tokens')).length;
  const form = `<form method="post" action="${url}/access"><input name="name" value="stolen">
    <input name="role" value="admin"><button>Win a prize</button></form>`;
  const evil = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end(form));
  await new Promise((resolve) => evil.listen(0, '127.0.0.1', resolve));
  // The same host at another port is another origin, and yet the same site to the cookie.
  const trap = await context.newPage();
  await trap.goto(`http://127.0.0.1:${evil.address().port}/`);
  const answered = trap.waitForResponse((response) => response.request().method() === 'POST');
  await trap.getByRole('button').click();
  assert.equal((await answered).status(), 403);
  evil.close();
  assert.equal((await api('GET', '/tokens')).length, before);
  await page.goto('/access');
  assert.equal(await page.getByText('stolen').count(), 0);
});

test('no page may be framed, and none is kept by the browser', async ({ page }) => {
  for (const address of ['/', '/access', '/signin', '/access/no-such-page']) {
    const headers = (await page.request.get(address)).headers();
    assert.match(headers['content-security-policy'] ?? '', /default-src 'none'/, address);
    assert.doesNotMatch(headers['content-security-policy'], /unsafe/, address);
    assert.match(headers['cache-control'] ?? '', /no-store/, address);
    assert.equal(headers['x-content-type-options'], 'nosniff', address);
  }
  const home = (await page.request.get('/')).headers()['content-security-policy'];
  assert.match(home, /frame-ancestors 'none'/);
});
