/**
 * Whether certificates and keys in PEM are what they are meant to be, in words for whoever wrote them.
 *
 * TLS libraries take a wrong one late and say little: an authority that is no certificate is passed over in silence, and
 * a key that is not the certificate's shows as a handshake that fails.
 *
 * Always true: nothing of what was given is in the words.
 */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';

const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const encryptedMarks = ['-----BEGIN ENCRYPTED PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED'];

/** @returns what is wrong with one or more certificates in PEM, if anything is */
export function certificatesProblem(pem: string): string | undefined {
  const blocks = pem.match(certificateBlock);
  if (blocks === null) {
    return pem.includes('PRIVATE KEY-----') ? 'expected certificates in PEM, this is a private key' : 'expected certificates in PEM: -----BEGIN CERTIFICATE----- and so on';
  }
  const broken = blocks.findIndex((block) => readCertificate(block) === undefined);
  if (broken === -1) return undefined;
  return blocks.length === 1 ? 'looks like a certificate in PEM and cannot be read as one' : `certificate ${broken + 1} of ${blocks.length} cannot be read`;
}

/** @returns what is wrong with a private key in PEM (PKCS#1, PKCS#8 or SEC 1), if anything is */
export function privateKeyProblem(pem: string): string | undefined {
  if (encryptedMarks.some((mark) => pem.includes(mark))) return 'this private key is encrypted; expected one without a passphrase';
  if (readPrivateKey(pem) !== undefined) return undefined;
  if (!pem.includes('PRIVATE KEY-----') && pem.includes('-----BEGIN CERTIFICATE-----')) return 'expected a private key in PEM, this is a certificate';
  return 'expected a private key in PEM: -----BEGIN PRIVATE KEY----- (PKCS#8), RSA PRIVATE KEY (PKCS#1) or EC PRIVATE KEY';
}

/** Whether a private key is that of the first of these certificates; both were found to be right. */
export function isKeyOf(keyPem: string, certificatesPem: string): boolean {
  const certificate = readCertificate(certificatesPem.match(certificateBlock)?.[0] ?? '');
  const key = readPrivateKey(keyPem);
  return certificate !== undefined && key !== undefined && certificate.checkPrivateKey(key);
}

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

function readPrivateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
