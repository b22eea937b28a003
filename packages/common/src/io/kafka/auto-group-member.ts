/**
 * A group member of the new protocol where the group can be of it, and one of the classic protocol elsewhere.
 *
 * The cluster is asked at each start, because brokers are upgraded and groups change their kind while dispatchers run:
 * Kafka turns a group of the classic protocol into one of the new protocol when the first such member joins, and back
 * when the last one has left (`group.consumer.migration.policy`).
 */
import { Fault } from '../../core/fault.ts';
import type { TopicPartition } from '../../core/kafka-record.ts';
import { createGroupMember, isClassicGroup, type SharedByMembers } from './group-member.ts';
import { createKafkajsGroupMember } from './kafkajs-group-member.ts';
import type { CommitOffset, GroupMember, GroupMemberOptions, KafkaConnection } from './port.ts';

export function createAutoGroupMember(connection: KafkaConnection, options: GroupMemberOptions, shared: SharedByMembers): GroupMember {
  return new AutoGroupMember(connection, options, shared);
}

class AutoGroupMember implements GroupMember {
  readonly #connection: KafkaConnection;
  readonly #options: GroupMemberOptions;
  readonly #shared: SharedByMembers;
  #member: GroupMember | undefined;
  #isClosed = false;

  constructor(connection: KafkaConnection, options: GroupMemberOptions, shared: SharedByMembers) {
    this.#connection = connection;
    this.#options = options;
    this.#shared = shared;
  }

  async start(): Promise<void> {
    const ours = createGroupMember(this.#connection, this.#options, this.#shared);
    this.#member = ours;
    try {
      await ours.start();
    } catch (error) {
      if (!isClassicGroup(error) || this.#isClosed) throw error;
      this.#shared.log?.info({ groupId: this.#options.groupId, err: error }, 'consumer group is joined by the classic protocol');
      this.#member = createKafkajsGroupMember(this.#connection, this.#options);
      await this.#member.start();
    }
  }

  pause(partition: TopicPartition): void {
    this.#member?.pause(partition);
  }

  resume(partition: TopicPartition): void {
    this.#member?.resume(partition);
  }

  async commit(offsets: readonly CommitOffset[]): Promise<void> {
    if (this.#member === undefined) throw new Fault('CLOSED', `commit of consumer group ${this.#options.groupId}: the member has not started`, { retriable: false });
    await this.#member.commit(offsets);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#member?.close();
  }
}
