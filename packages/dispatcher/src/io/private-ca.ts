/**
 * For tests: a certificate authority that nobody knows, and certificates of it for servers on loopback.
 *
 * Node makes keys and signatures but no certificates, so their few fields are written here in DER. That asks for no
 * tool on the machine, and no certificate in the repository can expire.
 *
 * @see RFC 5280 §4.1 for the fields, X.690 for their encoding
 */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import type { TlsFiles } from './loopback-subscriber.ts';

export interface PrivateCa {
  /** PEM, what `CACerts` of a destination holds. */
  readonly caCerts: string;
  /** @param host a DNS name or an IPv4 address: the only one that the certificate is good for */
  issue(host: string): TlsFiles;
}

export function createPrivateCa(name: string): PrivateCa {
  const { privateKey, publicKey } = newKeys();
  const caCerts = certificate({ subject: name, publicKey, issuer: name, signedBy: privateKey, extensions: [extension(oid.basicConstraints, true, sequence(boolean(true)))] });
  return {
    caCerts,
    issue: (host) => {
      const own = newKeys();
      const cert = certificate({ subject: host, publicKey: own.publicKey, issuer: name, signedBy: privateKey, extensions: [extension(oid.subjectAltName, false, sequence(alternativeName(host)))] });
      return { cert, key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
    },
  };
}

function newKeys(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

interface CertificateFields {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: string;
  readonly signedBy: KeyObject;
  readonly extensions: readonly Buffer[];
}

function certificate({ subject, publicKey, issuer, signedBy, extensions }: CertificateFields): string {
  const algorithm = sequence(oid.ecdsaWithSha256);
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(8)]); // begins with 1, so that it is positive
  const signed = sequence(
    element(0xa0, element(0x02, Buffer.from([2]))), // version 3
    element(0x02, serial),
    algorithm,
    commonName(issuer),
    sequence(element(0x17, Buffer.from('200101000000Z')), element(0x17, Buffer.from('491231235959Z'))), // of all the years that this form has
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', signed, signedBy);
  const der = sequence(signed, algorithm, element(0x03, Buffer.concat([Buffer.from([0]), signature])));
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts));
}

function boolean(value: boolean): Buffer {
  return element(0x01, Buffer.from([value ? 0xff : 0]));
}

function commonName(text: string): Buffer {
  return sequence(element(0x31, sequence(oid.commonName, element(0x0c, Buffer.from(text)))));
}

function extension(id: Buffer, isCritical: boolean, value: Buffer): Buffer {
  return sequence(id, ...(isCritical ? [boolean(true)] : []), element(0x04, value));
}

function alternativeName(host: string): Buffer {
  const isAddress = /^[\d.]+$/.test(host);
  return isAddress ? element(0x87, Buffer.from(host.split('.').map(Number))) : element(0x82, Buffer.from(host));
}

/** Object identifiers, as DER has them. */
const oid = {
  commonName: element(0x06, Buffer.from([0x55, 0x04, 0x03])),
  basicConstraints: element(0x06, Buffer.from([0x55, 0x1d, 0x13])),
  subjectAltName: element(0x06, Buffer.from([0x55, 0x1d, 0x11])),
  ecdsaWithSha256: element(0x06, Buffer.from([0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])),
};
