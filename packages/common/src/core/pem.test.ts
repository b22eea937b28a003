import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { CertificateAuthority } from '@knative-kafka/local-cluster';
import { describe, expect, it } from 'vitest';
import { certificatesProblem, isKeyOf, privateKeyProblem } from './pem.ts';

const authority = new CertificateAuthority('test');
const [ann, bob] = [authority.issue({ commonName: 'ann' }), authority.issue({ commonName: 'bob' })];
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const pem = (key: KeyObject, type: 'pkcs1' | 'pkcs8' | 'sec1', passphrase?: string): string => {
  const encryption = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
  return key.export({ type, format: 'pem', ...encryption } as { type: 'pkcs8'; format: 'pem' }) as string;
};
const ec = pem(createPrivateKey(ann.key), 'sec1');
const ecParameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';

describe('certificates', () => {
  it.each([
    ['one', ann.certificate],
    ['several, with words between them', `# ours\n${ann.certificate}\n# theirs\n${bob.certificate}`],
    ['one from Windows', ann.certificate.replaceAll('\n', '\r\n')],
    ['one without a line break at its end', ann.certificate.trimEnd()],
  ])('are right: %s', (_name, text) => {
    expect(certificatesProblem(text)).toBeUndefined();
  });

  it.each([
    ['something else', 'ca', /^expected certificates in PEM: -----BEGIN/],
    ['DER as text', 'MIIBszCCAVmgAwIBAgI', /^expected certificates in PEM/],
    ['a key', ann.key, /this is a private key/],
    ['one that was cut', ann.certificate.slice(0, 200), /^expected certificates in PEM/],
    ['one that was changed', ann.certificate.replace(/MII/, 'AAA'), /^looks like a certificate/],
    ['the second of two', `${ann.certificate}${bob.certificate.replace(/MII/, 'AAA')}`, /^certificate 2 of 2 cannot be read/],
  ])('are wrong: %s', (_name, text, problem) => {
    expect(certificatesProblem(text)).toMatch(problem);
  });
});

describe('a private key', () => {
  it.each([
    ['PKCS#8', ann.key],
    ['of an elliptic curve', ec],
    ['of an elliptic curve, as openssl writes it', ecParameters + ec],
    ['beside its certificate', ann.certificate + ec],
  ])('is right: %s', (_name, key) => {
    expect(privateKeyProblem(key)).toBeUndefined();
    expect(isKeyOf(key, ann.certificate)).toBe(true);
    expect(isKeyOf(key, bob.certificate)).toBe(false);
  });

  it.each([
    ['RSA, PKCS#1', pem(rsa, 'pkcs1')],
    ['RSA, PKCS#8', pem(rsa, 'pkcs8')],
  ])('is right: %s', (_name, key) => {
    expect(privateKeyProblem(key)).toBeUndefined();
  });

  it.each([
    ['something else', 'key', /^expected a private key in PEM: /],
    ['a certificate', ann.certificate, /this is a certificate$/],
    ['encrypted, PKCS#8', pem(rsa, 'pkcs8', 'pass'), /is encrypted; expected one without a passphrase/],
    ['encrypted, PKCS#1', pem(rsa, 'pkcs1', 'pass'), /is encrypted; expected one without a passphrase/],
    ['one that was changed', ann.key.replace('\nM', '\nA'), /^expected a private key/],
  ])('is wrong: %s', (_name, key, problem) => {
    expect(privateKeyProblem(key)).toMatch(problem);
  });

  it('belongs to the first certificate of a chain', () => {
    expect(isKeyOf(ec, ann.certificate + bob.certificate)).toBe(true);
    expect(isKeyOf(ec, bob.certificate + ann.certificate)).toBe(false);
  });
});
