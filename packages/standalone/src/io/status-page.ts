/**
 * The live page of the standalone mode, on the port that events arrive at: what there is, whether it is ready and why
 * not, how far behind each Subscription and KafkaSource is. `/status.json` is the same for machines.
 */
import type { Express } from 'express';
import type { DispatcherState } from '@knative-kafka/dispatcher';
import { readyOf, readyText, type ResourceStatus } from '../core/resource-status.ts';

export interface StatusSnapshot {
  readonly kafka: string;
  readonly resources: readonly ResourceStatus[];
  readonly problems: readonly string[];
  readonly consumers: readonly DispatcherState[];
}

export function addStatusPage(app: Express, snapshot: () => StatusSnapshot): void {
  app.get('/status.json', (_request, response) => {
    response.set('Cache-Control', 'no-store').json(snapshot());
  });
  app.get('/', (_request, response) => {
    response.set('Cache-Control', 'no-store').type('html').send(page(snapshot()));
  });
}

function page({ kafka, resources, problems, consumers }: StatusSnapshot): string {
  const resourceRows = resources.map((status) => row([status.kind, status.name, `<span class="${readyOf(status).status}">${escapeHtml(readyText(status))}</span>`, escapeHtml(status.url ?? '')], 2));
  const subscriptionRows = consumers.flatMap((consumer) => (consumer.source === undefined ? [row([consumer.channel, consumer.subscription, ...resultCells(consumer)])] : []));
  const sourceRows = consumers.flatMap((consumer) => (consumer.source === undefined ? [] : [row([consumer.source, ...resultCells(consumer)])]));
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Knative Kafka</title><meta http-equiv="refresh" content="2">
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%;margin:0 0 2rem}th,td{text-align:left;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #d8dee4}th{font-weight:600}.True{color:#116329}.False{color:#a40e26}.Unknown{color:#7d4e00}@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}.True{color:#56d364}.False{color:#ff7b72}.Unknown{color:#e3b341}}</style></head><body>
<h1>Knative Kafka</h1><p>${escapeHtml(kafka)}</p>
${problems.length === 0 ? '' : `<h2>Manifests with mistakes</h2><ul>${problems.map((problem) => `<li class="False">${escapeHtml(problem)}</li>`).join('')}</ul>`}
<h2>Resources</h2>${table(['Kind', 'Name', 'Ready', 'Address'], resourceRows)}
<h2>Subscriptions</h2>${table(['Channel', 'Subscription', ...resultHead], subscriptionRows)}
${sourceRows.length === 0 ? '' : `<h2>KafkaSources</h2>${table(['KafkaSource', ...resultHead], sourceRows)}`}
</body></html>`;
}

const resultHead = ['Delivered', 'Dead-lettered', 'Kept', 'Dropped', 'Behind', 'Failing'];

function resultCells({ delivered, deadLettered, kept, dropped, lag, failing, trouble }: DispatcherState): readonly string[] {
  return [...[delivered, deadLettered, kept, dropped, lag].map(String), failing ?? trouble ?? ''];
}

function table(head: readonly string[], rows: readonly string[]): string {
  return `<table><tr>${head.map((cell) => `<th>${cell}</th>`).join('')}</tr>${rows.join('')}</table>`;
}

/** @param escapedFrom cells from this one on are HTML already */
function row(cells: readonly string[], escapedFrom = cells.length): string {
  return `<tr>${cells.map((cell, index) => `<td>${index < escapedFrom ? escapeHtml(cell) : cell}</td>`).join('')}</tr>`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
