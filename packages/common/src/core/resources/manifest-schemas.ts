/**
 * Schemas of what has no CustomResourceDefinition: metadata and the kinds of Kubernetes' core group. The API server has
 * its own for these; here stands as much of them as keeps a mistake from going unnoticed.
 */
import type { CrdSchema } from './crd-schema.ts';
import { labelPattern, namePattern } from './crd-schema.ts';

const texts: CrdSchema = { type: 'object', additionalProperties: { type: 'string' } };
const anything: CrdSchema = { 'x-kubernetes-preserve-unknown-fields': true };

/** `metadata` of any object. The fields below `annotations` come along when an object is exported from a cluster. */
export const metadataSchema: CrdSchema = {
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string', pattern: namePattern, maxLength: 253 },
    namespace: { type: 'string', pattern: labelPattern, maxLength: 63 },
    uid: { type: 'string', pattern: '^[A-Za-z0-9-]+$', maxLength: 63 },
    labels: texts,
    annotations: texts,
    creationTimestamp: anything,
    deletionGracePeriodSeconds: anything,
    deletionTimestamp: anything,
    finalizers: anything,
    generateName: anything,
    generation: anything,
    managedFields: anything,
    ownerReferences: anything,
    resourceVersion: anything,
    selfLink: anything,
  },
};

const top = { apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: { type: 'object' } } as const;

export const secretSchema: CrdSchema = {
  type: 'object',
  properties: { ...top, type: { type: 'string' }, immutable: { type: 'boolean' }, data: texts, stringData: texts },
};

export const configMapSchema: CrdSchema = {
  type: 'object',
  properties: { ...top, immutable: { type: 'boolean' }, data: texts, binaryData: texts },
};

export const serviceSchema: CrdSchema = {
  type: 'object',
  properties: { ...top, spec: anything, status: anything },
};
