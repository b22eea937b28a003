/**
 * A certificate authority for tests of TLS, with nothing but node:crypto: which other program could issue certificates
 * on a machine is not for a test to depend on.
 *
 * Node signs and exports keys, but writes no certificates; the few structures of X.509 that a server or a client needs
 * are put together here, in DER.
 *
 * @see RFC 5280, 4.1 (certificates) and 4.2.1 (extensions); ITU-T X.690, 8 and 10 (DER)
 */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIPv4 } from 'node:net';

export interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS#8, not encrypted. */
  readonly key: string;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** Host names and IPv4 addresses that it is good for; none for clients. */
  readonly hosts?: readonly string[];
  /** Its last day is over. */
  readonly isExpired?: boolean;
}

const dayMs = 24 * 60 * 60 * 1000;
const validDays = 30;

const oid = {
  commonName: '550403',
  basicConstraints: '551d13',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  extendedKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
  clientAuth: '2b06010505070302',
  ecdsaWithSha256: '2a8648ce3d040302',
} as const;

/** Every authority has a key of its own: what one has signed the other does not believe, whatever their names. */
export class CertificateAuthority {
  /** PEM; what others have to believe. */
  readonly certificate: string;
  readonly #name: string;
  readonly #key: KeyObject;

  constructor(commonName: string) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    this.#name = commonName;
    this.#key = privateKey;
    const extensions = [extension(oid.basicConstraints, sequence(boolean(true)), true), extension(oid.keyUsage, keyUsage(keyCertSign), true)];
    this.certificate = this.#signed(commonName, publicKey, extensions, false);
  }

  /** Good for servers and clients alike. */
  issue({ commonName, hosts = [], isExpired = false }: CertificateRequest): IssuedCertificate {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const extensions = [
      extension(oid.basicConstraints, sequence(), true),
      extension(oid.keyUsage, keyUsage(digitalSignature), true),
      extension(oid.extendedKeyUsage, sequence(objectId(oid.serverAuth), objectId(oid.clientAuth))),
      ...(hosts.length === 0 ? [] : [extension(oid.subjectAltName, sequence(...hosts.map(generalName)))]),
    ];
    return { certificate: this.#signed(commonName, publicKey, extensions, isExpired), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }

  #signed(subject: string, publicKey: KeyObject, extensions: readonly Buffer[], isExpired: boolean): string {
    const algorithm = sequence(objectId(oid.ecdsaWithSha256));
    const endsAt = Date.now() + (isExpired ? -dayMs : validDays * dayMs);
    const content = sequence(
      der(0xa0, integer(Buffer.from([2]))), // version 3
      integer(randomBytes(16)),
      algorithm,
      distinguishedName(this.#name),
      sequence(utcTime(endsAt - 2 * validDays * dayMs), utcTime(endsAt)),
      distinguishedName(subject),
      publicKey.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(...extensions)),
    );
    return pem('CERTIFICATE', sequence(content, algorithm, bitString(sign('sha256', content, this.#key))));
  }
}

// --- structures ----------------------------------------------------------------------------------------------------

const digitalSignature = 0x80;
const keyCertSign = 0x04;

function distinguishedName(commonName: string): Buffer {
  return sequence(der(0x31, sequence(objectId(oid.commonName), der(0x0c, Buffer.from(commonName)))));
}

function extension(id: string, value: Buffer, isCritical = false): Buffer {
  return sequence(objectId(id), ...(isCritical ? [boolean(true)] : []), der(0x04, value));
}

function keyUsage(bits: number): Buffer {
  const unusedBits = 31 - Math.clz32(bits & -bits);
  return der(0x03, Buffer.from([unusedBits, bits]));
}

function generalName(host: string): Buffer {
  return isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host));
}

// --- DER -----------------------------------------------------------------------------------------------------------

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const length = content.length < 0x80 ? [content.length] : content.length < 0x100 ? [0x81, content.length] : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function sequence(...items: readonly Buffer[]): Buffer {
  return der(0x30, ...items);
}

/** Never negative, for which a leading bit would stand. */
function integer(bytes: Buffer): Buffer {
  const positive = Buffer.from(bytes);
  positive[0] = (positive[0]! & 0x7f) | (positive.length > 1 ? 0x40 : 0);
  return der(0x02, positive);
}

function boolean(value: boolean): Buffer {
  return der(0x01, Buffer.from([value ? 0xff : 0]));
}

function objectId(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'));
}

function bitString(bytes: Buffer): Buffer {
  return der(0x03, Buffer.from([0]), bytes);
}

/** @param at as of `Date.now()`, before the year 2050 */
function utcTime(at: number): Buffer {
  const text = new Date(at).toISOString().replace(/[-:T]|\.\d+/g, '').slice(2);
  return der(0x17, Buffer.from(text));
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
