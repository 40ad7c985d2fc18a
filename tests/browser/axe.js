// axe-core in a page: what a screen reader, a keyboard or weak eyes would stumble over.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const BAD = ['serious', 'critical'];

/** Serious and critical violations of WCAG 2.2 AA, one line per element. */
export async function violations(page) {
  await page.evaluate(source);
  const found = await page.evaluate(() => {
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    return window.axe.run(document, { runOnly: tags, resultTypes: ['violations'] });
  });
  return found.violations
    .filter((rule) => BAD.includes(rule.impact))
    .flatMap((rule) => rule.nodes.map((node) => `${rule.id} (${rule.impact}): ${rule.help}: ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ''}`));
}
