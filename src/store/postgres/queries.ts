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
  'follow-ledger',
  'keep-answer',
  'list-job-reports',
  'list-ledger',
  'list-restrictions',
  'list-upstreams',
  'lock-fleet',
  'ping',
  'raise-version',
  'read-head',
  'read-key',
  'read-ledger',
  'read-restriction',
  'read-upstream',
  'remove-restrictions',
  'replace-restrictions',
  'retake-key',
  'sweep-job-reports',
  'sweep-keys',
] as const

export type QueryName = (typeof names)[number]

export const queries = Object.fromEntries(names.map((name) => [name, readBeside(name)])) as {
  readonly [name in QueryName]: string
}

function readBeside(name: QueryName): string {
  return readFileSync(new URL(`./queries/${name}.sql`, import.meta.url), 'utf8')
}
