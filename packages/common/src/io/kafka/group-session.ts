/**
 * How long a consumer group of the new protocol waits for a member that is gone, and before it makes use of one that has
 * come: not the member's to choose, but the broker's or the group's own settings.
 */
import { describeConfigsV4, incrementalAlterConfigsV1, type ConfigResourceTypeValue } from '@platformatic/kafka';
import type { Logger } from '../logger.ts';
import type { ClusterConnections } from './cluster-connections.ts';

const groupResource: ConfigResourceTypeValue = 32;
const setOperation = 0;
const sessionTimeout = 'consumer.session.timeout.ms';
const heartbeatInterval = 'consumer.heartbeat.interval.ms';
/** Kafka 4.3 and later: the least time between two assignments of a group, a second unless told. */
const assignmentInterval = 'consumer.assignment.interval.ms';
/** A session outlasts this many heartbeats where the group may choose. */
const heartbeatsPerSession = 3;

/**
 * Sets the group's session timeout where it is another one and the broker allows it, and the heartbeat interval where it is
 * too long for that. A group that would collect changes of its members before it assigns partitions anew is told not to: it
 * has a few members, and all the while partitions that one has given up are nobody's.
 *
 * @returns the session timeout that holds, in milliseconds: the wanted one where the cluster does not tell
 */
export async function agreeOnSession(cluster: ClusterConnections, groupId: string, wantedMs: number, log: Logger | undefined): Promise<number> {
  try {
    const current = await readGroupConfig(cluster, groupId);
    if (current.assignmentMs > 0) await askForAssignmentsAtOnce(cluster, groupId, log);
    return current.sessionMs === wantedMs ? wantedMs : await askForSession(cluster, groupId, current, wantedMs, log);
  } catch (error) {
    log?.debug({ groupId, wantedMs, err: error }, 'session timeout of the consumer group is not known');
    return wantedMs;
  }
}

async function askForAssignmentsAtOnce(cluster: ClusterConnections, groupId: string, log: Logger | undefined): Promise<void> {
  try {
    await setGroupConfig(cluster, groupId, { [assignmentInterval]: 0 });
  } catch (error) {
    log?.debug({ groupId, err: error }, 'the consumer group goes on to collect changes before it assigns partitions');
  }
}

/** @returns the session timeout that holds, in milliseconds */
async function askForSession(cluster: ClusterConnections, groupId: string, current: GroupConfig, wantedMs: number, log: Logger | undefined): Promise<number> {
  const longestHeartbeatMs = Math.floor(wantedMs / heartbeatsPerSession);
  const wanted = { [sessionTimeout]: wantedMs, ...(current.heartbeatMs > longestHeartbeatMs ? { [heartbeatInterval]: longestHeartbeatMs } : {}) };
  try {
    // All or nothing: where only the interval is refused, the session timeout alone is better than nothing.
    await setGroupConfig(cluster, groupId, wanted).catch(() => setGroupConfig(cluster, groupId, { [sessionTimeout]: wantedMs }));
    return wantedMs;
  } catch (error) {
    log?.debug({ groupId, wantedMs, sessionTimeoutMs: current.sessionMs, err: error }, 'session timeout of the consumer group stays as it is');
    return current.sessionMs;
  }
}

interface GroupConfig {
  readonly sessionMs: number;
  /** 0 where the broker has no such setting; the next one, too. */
  readonly heartbeatMs: number;
  readonly assignmentMs: number;
}

async function readGroupConfig(cluster: ClusterConnections, groupId: string): Promise<GroupConfig> {
  const resource = { resourceType: groupResource, resourceName: groupId, configurationKeys: [sessionTimeout, heartbeatInterval, assignmentInterval] };
  const { results } = await cluster.anyBroker(`configuration of consumer group ${groupId}`, (connection) => describeConfigsV4.api.async(connection, [resource], false, false));
  const config = new Map(results[0]?.configs.map(({ name, value }) => [name, Number(value)]));
  const sessionMs = config.get(sessionTimeout);
  if (sessionMs === undefined || !(sessionMs > 0)) throw new Error('the broker does not tell it');
  return { sessionMs, heartbeatMs: config.get(heartbeatInterval) ?? 0, assignmentMs: config.get(assignmentInterval) ?? 0 };
}

async function setGroupConfig(cluster: ClusterConnections, groupId: string, config: Readonly<Record<string, number>>): Promise<void> {
  const configs = Object.entries(config).map(([name, value]) => ({ name, configOperation: setOperation, value: String(value) }) as const);
  const resource = { resourceType: groupResource, resourceName: groupId, configs };
  await cluster.anyBroker(`configuration of consumer group ${groupId}`, (connection) => incrementalAlterConfigsV1.api.async(connection, [resource], false));
}
