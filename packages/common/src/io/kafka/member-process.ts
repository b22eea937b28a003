/**
 * One group member in a process of its own, for tests that kill it or stop it with SIGSTOP. It commits all that it was
 * handed over, again and again, and prints what happens as lines of JSON.
 *
 * Argument: a MemberProcessOptions as JSON.
 */
import { createKafkaClient } from './client.ts';
import { recordMember } from './recorded-member.ts';

export interface MemberProcessOptions {
  readonly broker: string;
  readonly topic: string;
  readonly memberId: string;
  readonly sessionTimeoutMs: number;
}

/** One line that it prints. */
export type MemberProcessEvent =
  | { readonly event: 'assigned'; readonly partitions: readonly { readonly partition: number; readonly kept: boolean }[] }
  | { readonly event: 'records'; readonly partition: number }
  | { readonly event: 'committed' }
  | { readonly event: 'commit refused'; readonly message: string }
  | { readonly event: 'lost'; readonly message: string };

const commitIntervalMs = 50;

function print(event: MemberProcessEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

const { broker, topic, memberId, sessionTimeoutMs } = JSON.parse(process.argv[2]!) as MemberProcessOptions;
const client = createKafkaClient({ brokers: [broker], clientId: 'member-process', requestTimeoutMs: 15_000, connectTimeoutMs: 5_000 }, 'platformatic', 'platformatic');
const { member, commit, told } = recordMember(client, topic, {
  memberId,
  sessionTimeoutMs,
  onAssigned: (partitions) => print({ event: 'assigned', partitions: partitions.map(({ partition, kept }) => ({ partition, kept })) }),
  onRecords: (partition) => print({ event: 'records', partition }),
});
await member.start();
for (;;) {
  if (told.lost.length > 0) print({ event: 'lost', message: told.lost[0]!.message });
  await commit().then(
    () => print({ event: 'committed' }),
    (error: unknown) => print({ event: 'commit refused', message: String(error) }),
  );
  await new Promise((resolve) => setTimeout(resolve, commitIntervalMs));
}
