/**
 * What a Destination was resolved to, among the fields of an object, under the name of its role: `sinkUri`, `sinkCACerts`,
 * `sinkAudience`; `deadLetterSinkUri` and so on. Both directions, for those who write them and those who read them.
 */
import type { DestinationRole, ResolvedAddress, ResolvedDestination } from './destination.ts';

export type AddressFields<Role extends DestinationRole> = Readonly<Partial<Record<`${Role}Uri` | `${Role}CACerts` | `${Role}Audience`, string>>>;

/** @returns nothing of what is not there, or could not be resolved */
export function addressFields<Role extends DestinationRole>(role: Role, resolved: ResolvedDestination | undefined): AddressFields<Role> {
  const fields: Record<string, string> = {};
  if (resolved !== undefined && !('error' in resolved)) {
    const { uri, CACerts, audience } = resolved;
    fields[`${role}Uri`] = uri;
    if (CACerts !== undefined) fields[`${role}CACerts`] = CACerts;
    if (audience !== undefined) fields[`${role}Audience`] = audience;
  }
  return fields as AddressFields<Role>;
}

/** @param holder a status or a part of one, which may be another's: what is no text counts as absent */
export function addressIn(holder: object | undefined, role: DestinationRole): ResolvedAddress | undefined {
  const fields = (holder ?? {}) as Readonly<Record<string, unknown>>;
  const textOf = (field: string): string | undefined => {
    const value = fields[`${role}${field}`];
    return typeof value === 'string' ? value : undefined;
  };
  const [uri, CACerts, audience] = [textOf('Uri'), textOf('CACerts'), textOf('Audience')];
  if (uri === undefined || uri === '') return undefined;
  return { uri, ...(CACerts === undefined ? {} : { CACerts }), ...(audience === undefined ? {} : { audience }) };
}
