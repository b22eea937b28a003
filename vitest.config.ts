import { defineConfig } from 'vitest/config';

// Projects over the same sources: `unit` needs nothing and takes seconds; `integration` starts real parts
// (Kafka, child processes) and so runs one file at a time; `node` needs a whole cluster and is run by `npm run e2e`.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: ['**/*.integration.test.ts', '**/*.node.test.ts', '**/node_modules/**'],
          environment: 'node',
        },
      },
      {
        test: {
          name: 'integration',
          include: ['**/*.integration.test.ts'],
          exclude: ['**/node_modules/**'],
          environment: 'node',
          fileParallelism: false,
          testTimeout: 240_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'node',
          include: ['**/*.node.test.ts'],
          exclude: ['**/node_modules/**'],
          environment: 'node',
          fileParallelism: false, // all of them share one cluster
          testTimeout: 420_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
