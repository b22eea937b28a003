/**
 * What another process has used, from Linux's /proc.
 */
import { readFileSync } from 'node:fs';

/** The kernel tells CPU time in these, whatever its own clock does (USER_HZ). */
const tickMs = 10;

/** CPU time of a process since its start, all threads, user and system. @throws Error when it has ended */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name before may contain anything
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

/** Resident memory now, and the most it has ever been. @throws Error when it has ended */
export function residentBytes(pid: number): { readonly now: number; readonly most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { now: kibibytes('VmRSS'), most: kibibytes('VmHWM') };
}
