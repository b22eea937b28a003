export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with an IPv6 address in brackets. The settings have checked the form. */
export function parseBroker(text: string): BrokerAddress {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}
