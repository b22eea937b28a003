/** The delivery contract and the ported specification once more, with undici as the client of all destinations. */
import { loopbackClient } from './deliver-on-loopback.ts';

loopbackClient.usesSockets = false;
await import('./delivery-contract.test.ts');
await import('./ported-delivery-spec.test.ts');
