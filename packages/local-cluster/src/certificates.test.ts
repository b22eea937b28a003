import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CertificateAuthority } from './certificates.ts';

describe('a certificate authority', () => {
  const authority = new CertificateAuthority('authority of a test');
  const root = new X509Certificate(authority.certificate);

  it('issues certificates that name their hosts and belong to their keys', () => {
    const { certificate, key } = authority.issue({ commonName: 'broker', hosts: ['kafka.test', '127.0.0.1'] });
    const issued = new X509Certificate(certificate);
    expect(issued.checkIssued(root)).toBe(true);
    expect(issued.verify(root.publicKey)).toBe(true);
    expect(issued.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(issued.subject).toBe('CN=broker');
    expect(issued.checkHost('kafka.test')).toBe('kafka.test');
    expect(issued.checkHost('other.test')).toBeUndefined();
    expect(issued.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(issued.ca).toBe(false);
    expect(root.ca).toBe(true);
    expect(issued.validToDate.getTime()).toBeGreaterThan(Date.now());
    expect(issued.validFromDate.getTime()).toBeLessThan(Date.now());
  });

  it('issues one that has expired, when asked', () => {
    const { certificate } = authority.issue({ commonName: 'late', isExpired: true });
    expect(new X509Certificate(certificate).validToDate.getTime()).toBeLessThan(Date.now());
  });

  it('is another one each time, under the same name as well', () => {
    const other = new X509Certificate(new CertificateAuthority('authority of a test').certificate);
    const { certificate } = authority.issue({ commonName: 'broker' });
    expect(new X509Certificate(certificate).verify(other.publicKey)).toBe(false);
  });
});
