/** Writes the services' tables of settings into docs/RUNNING.md: `npm run generate`. A test fails while they are stale. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { receiverSettings } from '@knative-kafka/channel-receiver';
import { describeSettings } from '@knative-kafka/common/core';
import { controllerSettings } from '@knative-kafka/controller';
import { dispatcherSettings } from '@knative-kafka/dispatcher';

const page = fileURLToPath(new URL('../../../docs/RUNNING.md', import.meta.url));

/** @returns the page as it is, and as it should be */
export function settingsDocs(): { readonly current: string; readonly wanted: string } {
  const current = readFileSync(page, 'utf8');
  let wanted = current;
  for (const [service, settings] of [['channel-receiver', receiverSettings], ['dispatcher', dispatcherSettings], ['controller', controllerSettings]] as const) {
    const [begin, end] = [`<!-- settings:${service} -->`, `<!-- /settings:${service} -->`];
    const from = wanted.indexOf(begin) + begin.length;
    wanted = `${wanted.slice(0, from)}\n${describeSettings(settings)}\n${wanted.slice(wanted.indexOf(end))}`;
  }
  return { current, wanted };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(page, settingsDocs().wanted);
