/**
 * docs/PERFORMANCE.md: prose that people wrote, with blocks between markers that a run of the bench replaces.
 *
 *     <!-- bench:receiver -->
 *     replaced
 *     <!-- /bench:receiver -->
 *
 * Always true: what is outside of the replaced blocks stays as it was, byte for byte.
 */

/**
 * @param blocks content by the name in the marker
 * @returns the page, and the names of blocks that have no place on it
 */
export function replaceBlocks(page: string, blocks: ReadonlyMap<string, string>): { readonly page: string; readonly missing: readonly string[] } {
  const missing: string[] = [];
  for (const [name, content] of blocks) {
    const begin = `<!-- bench:${name} -->`;
    const end = `<!-- /bench:${name} -->`;
    const from = page.indexOf(begin);
    const to = page.indexOf(end, from);
    if (from < 0 || to < 0) missing.push(name);
    else page = `${page.slice(0, from + begin.length)}\n\n${content.trim()}\n\n${page.slice(to)}`;
  }
  return { page, missing };
}
