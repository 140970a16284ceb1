// The statements of queries/<name>.sql, read once. Each file begins with its purpose and what `$1` and so on are.

import { readFileSync } from 'node:fs'

const names = [
  'abandon-key',
  'add-fleet',
  'add-job-reports',
  'add-restrictions',
  'add-upstreams',
  'append-ledger',
  'change-upstreams',
  'claim-key',
  'delete-upstreams',
  'extend-claim',
  'follow-ledger',
  'keep-answer',
  'keep-sync-report',
  'list-job-reports',
  'list-ledger',
  'list-restrictions',
  'list-upstreams',
  'lock-fleet',
  'note-step',
  'ping',
  'raise-version',
  'read-head',
  'read-key',
  'read-ledger',
  'read-restriction',
  'read-sync-report',
  'read-upstream',
  'read-upstreams',
  'remove-restrictions',
  'replace-restrictions',
  'retake-key',
  'store-seen',
  'sweep-job-reports',
  'sweep-keys',
  'take-upstreams',
  'upstreams-at',
  'waiting-upstreams',
] as const

export type QueryName = (typeof names)[number]

export const queries = Object.fromEntries(names.map((name) => [name, readBeside(name)])) as {
  readonly [name in QueryName]: string
}

function readBeside(name: QueryName): string {
  return readFileSync(new URL(`./queries/${name}.sql`, import.meta.url), 'utf8')
}
