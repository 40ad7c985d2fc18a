// Names that would do harm on a page that trusts them.

const MARKUP = '<script>window.harmed=1</script>';
const ATTRIBUTE = `"' onmouseover=window.harmed=1 x="`;
/** Turns what follows around: "gpj.exe" reads "exe.jpg". */
const RIGHT_TO_LEFT = '\u202eevil\u202c';

/** Paths of files, each in its own kind of trouble. */
export const PATHS = [
  `harm/${MARKUP}.txt`,
  `harm/${ATTRIBUTE}.txt`,
  `harm/photo${RIGHT_TO_LEFT}gpj.exe`,
  'harm/&lt;b&gt;already escaped&amp;.txt',
  'harm/{{ 7 * 7 }} ${7 * 7} {% raw %}.txt',
  'harm/percent %3Cb%3E + plus?query=1#fragment;semi,comma\\back.txt',
  'harm/javascript:alert(1)/data:text,x',
  `harm/${'a-very-long-name-without-a-place-to-break-'.repeat(5)}.bin`,
  'harm/مرحبا بالعالم/ملف.txt',
  'harm/emoji 👩‍👩‍👧 é e\u0301.txt',
];

/** A content type is whatever the uploader says, within what a header may hold. */
export const CONTENT_TYPE = `text/html;x="<img src=x onerror=window.harmed=1>"`;

export const TOKEN_NAME = `${MARKUP}${ATTRIBUTE}${RIGHT_TO_LEFT}`;

/** True when a script of one of these names ran. */
export const harmed = (page) => page.evaluate(() => window.harmed !== undefined);
