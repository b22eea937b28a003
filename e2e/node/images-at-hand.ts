/**
 * Pods that other people's tests make, with an image that has no tag: a kubelet asks its registry about such an image
 * each time, and here is none. The API server asks us before it takes such a pod, and is told that the image on the node
 * will do.
 *
 * Always true: no other pod is changed, and nothing else about these.
 */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { CertificateAuthority } from '@knative-kafka/local-cluster';
import type { Cluster } from './cluster.ts';

const name = 'images-at-hand.example.com';
const host = '127.0.0.1';
const patch = [{ op: 'replace', path: '/spec/containers/0/imagePullPolicy', value: 'IfNotPresent' }];

/**
 * For pods whose first container has this image; the API server must be on this machine.
 *
 * @returns what ends it
 */
export async function useImageAtHand(cluster: Cluster, image: string): Promise<() => Promise<void>> {
  const authority = new CertificateAuthority(name);
  const { certificate, key } = authority.issue({ commonName: name, hosts: [host] });
  const server = createServer({ cert: certificate, key }, (request, response) => {
    const answer = async (): Promise<string> => JSON.stringify(review((await json(request)) as AdmissionReview));
    answer().then((text) => response.setHeader('content-type', 'application/json').end(text), () => response.writeHead(400).end());
  });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  server.once('error', reject).listen(0, host, () => resolve(undefined));
  await promise;
  const { port } = server.address() as AddressInfo;
  await cluster.apply({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name,
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        clientConfig: { url: `https://${host}:${port}/`, caBundle: Buffer.from(authority.certificate).toString('base64') },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        matchConditions: [{ name: 'image', expression: `object.spec.containers[0].image == '${image}'` }],
      },
    ],
  });
  return async () => {
    await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', name, '--ignore-not-found']);
    server.closeAllConnections();
    server.close();
  };
}

interface AdmissionReview {
  readonly request: { readonly uid: string };
}

function review({ request: { uid } }: AdmissionReview): object {
  const response = { uid, allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}
