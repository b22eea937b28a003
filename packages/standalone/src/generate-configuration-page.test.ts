import { expect, it } from 'vitest';
import { configurationPage } from './generate-configuration-page.ts';

it('docs/CONFIGURATION.md lists settings, fields, ConfigMaps and annotations as they are (npm run generate)', () => {
  const { current, wanted } = configurationPage();
  expect(current).toBe(wanted);
});
