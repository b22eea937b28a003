/**
 * What each ServiceAccount of the chart may do, as a page for people who have to approve it; why, in the words of the
 * comments above the rules.
 */
import { isMap, isSeq, parseAllDocuments, type Document } from 'yaml';

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

interface RbacObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly rules?: readonly Rule[];
  readonly aggregationRule?: { readonly clusterRoleSelectors: readonly { readonly matchLabels: Readonly<Record<string, string>> }[] };
  readonly roleRef?: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

interface Rendered extends RbacObject {
  /** Why it is there, and each of its rules. */
  readonly comment: string;
  readonly ruleComments: readonly string[];
}

/**
 * @param manifests what `helm template` prints
 * @returns Markdown: for each ServiceAccount a table of what it may do
 */
export function rbacTables(manifests: string): string {
  const objects = parseAllDocuments(manifests).flatMap((document) => rendered(document));
  const accounts = objects.filter(({ kind }) => kind === 'ServiceAccount').sort((one, other) => (one.metadata.name < other.metadata.name ? -1 : 1));
  return accounts.map(({ metadata: { name, annotations } }) => {
    const heading = annotations?.['helm.sh/hook'] === 'test' ? `## ${name}\n\nOnly there while \`helm test\` runs.` : `## ${name}`;
    const rows = objects.filter(({ subjects }) => subjects?.some((subject) => subject.kind === 'ServiceAccount' && subject.name === name)).flatMap((binding) => rowsOf(binding, objects));
    return [heading, '', '| where | API group | resources | verbs | why |', '| --- | --- | --- | --- | --- |', ...rows].join('\n');
  }).join('\n\n');
}

function rendered(document: Document): readonly Rendered[] {
  if (!isMap(document.contents)) return [];
  const rules = document.contents.get('rules');
  const items = isSeq(rules) ? rules.items : [];
  const comments = items.map((item, index) => prose([...(index === 0 && isSeq(rules) ? [rules.commentBefore] : []), isMap(item) ? item.commentBefore : undefined]));
  return [{ ...(document.toJS() as RbacObject), comment: prose([document.commentBefore, document.contents.commentBefore]), ruleComments: comments }];
}

/** Without what helm says about the file. */
function prose(comments: readonly (string | null | undefined)[]): string {
  const lines = comments.flatMap((comment) => comment?.split('\n') ?? []).map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('Source: ')).join(' ');
}

function rowsOf(binding: Rendered, objects: readonly Rendered[]): readonly string[] {
  const role = objects.find(({ kind, metadata }) => kind === binding.roleRef?.kind && metadata.name === binding.roleRef.name && (kind === 'ClusterRole' || metadata.namespace === binding.metadata.namespace));
  if (role === undefined) throw new Error(`${binding.kind} ${binding.metadata.name} refers to ${binding.roleRef?.name ?? 'nothing'}, which is not rendered`);
  const where = binding.kind === 'ClusterRoleBinding' ? 'all namespaces' : binding.metadata.namespace ?? '';
  const aggregated = role.aggregationRule?.clusterRoleSelectors.map(({ matchLabels }) => Object.entries(matchLabels).map((pair) => pair.join('=')).join(',')).join('; ');
  if (aggregated !== undefined) return [row(where, '', `whatever ClusterRoles with the label \`${aggregated}\` allow`, '', binding.comment)];
  return (role.rules ?? []).map((rule, index) => {
    const groups = rule.apiGroups.map((group) => (group === '' ? 'core' : group)).join(', ');
    const names = rule.resourceNames === undefined ? '' : ` (${rule.resourceNames.join(', ')} only)`;
    return row(where, groups, rule.resources.join(', ') + names, rule.verbs.join(', '), role.ruleComments[index] || role.comment || binding.comment);
  });
}

function row(...cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
