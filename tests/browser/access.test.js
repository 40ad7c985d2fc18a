import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { api, open, signIn, test, token, url, watch } from './lib.js';

const heading = (page) => page.getByRole('heading', { level: 1 });
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
