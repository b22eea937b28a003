import { expect, it } from 'vitest';
import { settingsDocs } from './generate-settings-docs.ts';

it('docs/RUNNING.md lists the settings as they are (npm run generate)', () => {
  const { current, wanted } = settingsDocs();
  expect(current).toBe(wanted);
});
