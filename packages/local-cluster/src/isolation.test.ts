import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { enterCommand, isIsolated, isolationScript } from './isolation.ts';

describe('what an isolated tree does first', () => {
  const script = isolationScript({ nameServer: '10.96.0.10' });
  const lines = script.split('\n');

  it('is a script that a shell can read', () => {
    expect(spawnSync('/bin/sh', ['-n', '-c', script]).status).toBe(0);
  });

  it('stops at the first step that fails, before the command runs', () => {
    expect(lines[0]).toBe('set -e');
    expect(lines.indexOf('set +e')).toBe(lines.indexOf('"$@"') - 1);
  });

  it('gives every kernel setting of a kubelet a stand-in before anything can change it', () => {
    for (const name of ['vm/overcommit_memory', 'kernel/panic', 'kernel/panic_on_oops', 'kernel/keys/root_maxkeys']) {
      expect(lines.findIndex((line) => line.includes(`mount --bind`) && line.endsWith(`/proc/sys/${name}; fi`))).toBeGreaterThan(0);
    }
  });

  it('asks the DNS server that it is told, and otherwise the one of the machine', () => {
    expect(script).toContain("'nameserver 10.96.0.10'");
    expect(isolationScript({})).not.toContain('resolv.conf');
  });
});

it('a process that nobody isolated knows it', () => {
  expect(isIsolated()).toBe(false);
});

it('is entered by its network, mounts and process ids', () => {
  expect(enterCommand(42).join(' ')).toMatch(/^nsenter .*\/proc\/42\/ns\/net .*\/proc\/42\/ns\/mnt/);
});
