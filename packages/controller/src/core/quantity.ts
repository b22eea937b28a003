/**
 * Amounts of CPU and memory in the one form in which the API server gives them back: an object that says `1024Mi` would
 * otherwise look changed by somebody for ever, because it comes back as `1Gi`.
 *
 * @see Kubernetes API conventions, "Quantity": no fraction, and the largest suffix that allows for that
 */

const decimal = ['m', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const pattern = /^(\d{1,12})(?:\.(\d{1,3}))?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$/;

/** @returns undefined when it is no quantity, or has a fraction of a thousandth or of a byte */
export function canonicalQuantity(text: string): string | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', suffix = ''] = match;
  const [suffixes, step] = suffix.endsWith('i') ? [binary, 1024n] : [decimal, 1000n];
  const thousandths = BigInt(whole + fraction.padEnd(3, '0')) * step ** BigInt(suffixes.indexOf(suffix));
  if (thousandths === 0n) return '0';
  if (thousandths % 1000n !== 0n) return undefined;
  let [amount, place] = [thousandths / 1000n, 0];
  while (amount % step === 0n && place < suffixes.length - 1) [amount, place] = [amount / step, place + 1];
  return `${amount}${suffixes[place] ?? ''}`;
}
