/**
 * What is wrong with one field of a resource, in words for the person who wrote it.
 */

/** Field names and list indexes from the top of the object; empty for the object itself. */
export type FieldPath = readonly (string | number)[];

export interface FieldProblem {
  readonly path: FieldPath;
  /** What was expected and what came, without the name of the field. */
  readonly message: string;
}

/** `spec.subscribers[0].uid`, and `metadata.annotations["a.b/c"]` for names that a dot would break apart. */
export function fieldName(path: FieldPath): string {
  let name = '';
  for (const step of path) {
    if (typeof step === 'number') name += `[${step}]`;
    else if (!/^[A-Za-z_][\w-]*$/.test(step)) name += `[${JSON.stringify(step)}]`;
    else name += name === '' ? step : `.${step}`;
  }
  return name;
}
