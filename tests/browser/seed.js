// An instance with a bit of everything, made through the API.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { api, put, scratch, send } from './lib.js';
import { CONTENT_TYPE, PATHS, TOKEN_NAME } from './names.js';

export const SCOPE = 'builds';

/** A local store below a directory whose name is one of the bad ones; returns the directory. */
export async function addDisk(name, more = {}) {
  const root = join(scratch, `${name} <b>"it's"&`);
  await mkdir(root, { recursive: true });
  await api('POST', '/stores', { name, backend: 'local', root, ...more });
  return root;
}

/** Two scopes, three stores (one of them gone), bad names wherever a name can be chosen, a run. */
export async function seed() {
  await addDisk('disk2', { soft_max_size: 1000000 });
  const lost = await addDisk('lost');
  await api('POST', '/scopes', { name: SCOPE, stores: ['disk2', 'lost'] });
  await api('POST', '/scopes', { name: 'media', stores: ['disk2'], public_read: true });
  await api('PATCH', `/scopes/${SCOPE}/stores/disk2`, { policy: { populate: true } });
  for (const [n, path] of PATHS.entries()) await put(SCOPE, path, `content ${n}`, CONTENT_TYPE);
  for (let n = 0; n < 30; n += 1) await put(SCOPE, `many/file-${n}.txt`, `${n}`, 'text/plain');
  await put('media', 'film.mp4', Buffer.alloc(300_000, 7), 'video/mp4');
  await put(SCOPE, 'gone.txt', 'gone', 'text/plain');
  await send('DELETE', `/files/${SCOPE}/gone.txt`);
  await api('POST', '/tokens', { name: TOKEN_NAME, role: 'write', scope: SCOPE });
  const run = await finishedRun();
  await rm(lost, { recursive: true });
  // Whoever looks finds out that it is gone.
  await api('POST', '/stores/lost/check');
  return { run, path: PATHS[0] };
}

/** Starts a run and waits for its end; returns its id. */
export async function finishedRun() {
  const { id } = await api('POST', '/vacuum/runs');
  for (;;) {
    const run = await api('GET', `/vacuum/runs/${id}`);
    if (run.finished_at !== null) return id;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Every page of the site, given what `seed` returned. */
export function everyPage({ run, path }) {
  return [
    '/', '/scopes', '/scopes/new', `/scopes/${SCOPE}`, `/scopes/${SCOPE}/links/disk2`,
    '/stores', '/stores/new', '/stores/new?backend=s3', '/stores/local', '/stores/disk2', '/stores/lost', '/stores/local/check',
    '/stores/local/evacuation', '/stores/disk2/delete', '/vacuum', '/vacuum/plan', `/vacuum/runs/${run}`,
    '/browse', `/browse/${SCOPE}`, `/browse/${SCOPE}?deleted=1`, `/browse/${SCOPE}?prefix=harm/`, `/browse/${SCOPE}?q=many`,
    `/browse/${SCOPE}/file?path=${encodeURIComponent(path)}`, '/access', '/access/changes',
    '/access/no-such-page', '/stores/no-such-store',
  ];
}
