// axe-core in a page: what a screen reader, a keyboard or weak eyes would stumble over.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const BAD = ['serious', 'critical'];

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Serious and critical violations of WCAG 2.2 AA, one line per element. `rules`: these alone. */
export async function violations(page, rules) {
  await page.evaluate(source);
  const runOnly = rules ? { type: 'rule', values: rules } : { type: 'tag', values: RULES };
  const found = await page.evaluate((options) => window.axe.run(document, options), { runOnly, resultTypes: ['violations'] });
  return found.violations
    .filter((rule) => BAD.includes(rule.impact))
    .flatMap((rule) => rule.nodes.map((node) => `${rule.id} (${rule.impact}): ${rule.help}: ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ''}`));
}
