/**
 * Tells people, by the log, what cannot be used in a ConfigMap that they edited.
 */
import { fieldName, type FieldProblem } from '../core/resources/field-problem.ts';
import type { Logger } from './logger.ts';

/** @returns a function that takes all problems there are now, and logs those that were not among them the time before */
export function configMapProblemTeller(configMap: string, log: Logger): (problems: readonly FieldProblem[]) => void {
  let told: ReadonlySet<string> = new Set();
  return (problems) => {
    const texts = new Set(problems.map(({ path, message }) => `${fieldName(path)}: ${message}`));
    for (const problem of texts) if (!told.has(problem)) log.warn({ configMap, problem }, 'ConfigMap has a value that cannot be used');
    told = texts;
  };
}
