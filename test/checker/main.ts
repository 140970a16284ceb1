// The verdict on a run whose records are in files, for people.
//
//   node test/checker/main.ts --clients clients.jsonl --gateway g1=g1.log --gateway g2=g2.log [--ledger ledger.jsonl]
//     [--calls calls.jsonl] [--faults faults.jsonl] [--admin admin.jsonl] [--seen seen.jsonl] [--acknowledgements a.jsonl]
//     [--tables tables.json] [--machines machines.json] [--settings '{"idleMs": 60000}'] [--json]
//
// Several files may be given of each kind but the last ones. A file of a gateway without a name has that of the file.
// 0 clean, 1 violations, or too few clients joined to say; 2 the command line is wrong.

import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import type { LedgerEntry } from '../../src/store/records.ts'
import { check } from './check.ts'
import { readJsonLines, readLedger, readLog } from './read.ts'
import type { Machine, Records, Settings, Tables } from './records.ts'
import { inWords } from './verdict.ts'

const files = { type: 'string' as const, multiple: true as const, default: [] as string[] }
const one = { type: 'string' as const }

const { values } = (() => {
  try {
    return parseArgs({
      options: {
        clients: files,
        gateway: files,
        ledger: files,
        calls: files,
        faults: files,
        admin: files,
        seen: files,
        acknowledgements: files,
        tables: one,
        machines: one,
        settings: one,
        json: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    console.error(String(error))
    process.exit(2)
  }
})()
if (values.clients.length === 0 || values.gateway.length === 0) {
  console.error('--clients and --gateway are needed, each as often as there are files')
  process.exit(2)
}

async function* all<Item>(paths: readonly string[]): AsyncGenerator<Item> {
  for (const path of paths) yield* readJsonLines<Item>(path)
}

function gatewayOf(given: string) {
  const named = /^([^=/]+)=(.*)$/.exec(given)
  const path = named?.[2] ?? given
  return readLog(path, named?.[1] ?? basename(path).replace(/\.[^.]*$/, ''))
}

function document<Whole>(path: string): Whole {
  return JSON.parse(readFileSync(path, 'utf8')) as Whole
}

const records: Records = {
  clients: values.clients.map((path) => readJsonLines(path)),
  gateways: values.gateway.map(gatewayOf),
  ledger: readLedger(all<LedgerEntry>(values.ledger)),
  calls: all(values.calls),
  faults: all(values.faults),
  admin: all(values.admin),
  seen: all(values.seen),
  acknowledgements: all(values.acknowledgements),
  ...(values.tables !== undefined && { tables: document<Tables>(values.tables) }),
  ...(values.machines !== undefined && { machines: document<Machine[]>(values.machines) }),
}
const settings = values.settings === undefined ? {} : (JSON.parse(values.settings) as Partial<Settings>)
const verdict = await check(records, settings)
console.log(values.json ? JSON.stringify(verdict) : inWords(verdict))
process.exitCode = verdict.violations.length === 0 && !verdict.isVoid ? 0 : 1
