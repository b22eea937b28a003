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
import type { CommitOffset, GroupMember, GroupMemberOptions } from './port.ts';

export function createAutoGroupMember(options: GroupMemberOptions, shared: SharedByMembers): GroupMember {
  return new AutoGroupMember(options, shared);
}

class AutoGroupMember implements GroupMember {
  readonly #options: GroupMemberOptions;
  readonly #shared: SharedByMembers;
  #member: GroupMember | undefined;
  #isClosed = false;

  constructor(options: GroupMemberOptions, shared: SharedByMembers) {
    this.#options = options;
    this.#shared = shared;
  }

  async start(): Promise<void> {
    const ours = createGroupMember(this.#options, this.#shared);
    this.#member = ours;
    try {
      await ours.start();
    } catch (error) {
      if (!isClassicGroup(error) || this.#isClosed) throw error;
      this.#shared.log?.info({ groupId: this.#options.groupId, err: error }, 'consumer group is joined by the classic protocol');
      this.#member = createKafkajsGroupMember(this.#options, this.#shared);
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
