import { describe, expect, it } from 'vitest';
import { isJarDownloaded, usefulMavenLines } from './kafka-jars.ts';

describe('isJarDownloaded', () => {
  it.each([
    ['[INFO] Downloaded from central: https://repo.example/kafka-clients-4.3.1.jar (10 MB at 9.4 MB/s)', true],
    ['[INFO] Downloaded from company-mirror: https://repo.example/a-1.jar (2 kB at 1 kB/s)', true],
    ['\u001b[0m[INFO] Downloaded from central: https://repo.example/a-1.jar (2 kB at 1 kB/s)', true],
    ['[INFO] Downloading from central: https://repo.example/kafka-clients-4.3.1.jar', false],
    ['[INFO] Downloaded from central: https://repo.example/kafka-clients-4.3.1.pom (2 kB at 1 kB/s)', false],
    ['[INFO] BUILD SUCCESS', false],
  ])('%s: %s', (line, isDownloaded) => {
    expect(isJarDownloaded(line)).toBe(isDownloaded);
  });
});

describe('usefulMavenLines', () => {
  it('keeps the reason and drops the advice on reading further', () => {
    const output = [
      '[INFO] BUILD FAILURE',
      '[ERROR] Failed to execute goal on project kafka: Could not find artifact org.apache.kafka:kafka_2.13:jar:9.9',
      '[ERROR] ',
      '[ERROR] Re-run Maven using the -X switch to enable full debug logging.',
      '[ERROR] For more information about the errors and possible solutions, please read the following articles:',
      '[ERROR] [Help 1] http://cwiki.example/DependencyResolutionException',
    ].join('\n');
    expect(usefulMavenLines(output)).toBe(
      '[ERROR] Failed to execute goal on project kafka: Could not find artifact org.apache.kafka:kafka_2.13:jar:9.9',
    );
  });

  it('shows the end of the output where nothing is marked as an error', () => {
    expect(usefulMavenLines('Error: JAVA_HOME is not defined correctly.\n  We cannot execute java\n')).toBe(
      'Error: JAVA_HOME is not defined correctly.\n  We cannot execute java',
    );
  });
});
