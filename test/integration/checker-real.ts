// The checker on what real processes wrote down: two gateways, a control, Redis and PostgreSQL under a small load. Clean as
// it is; and a gateway whose script takes the wrong turn is found out by the records alone.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { startLanekeeper as startProcess } from '../../src/demo/processes.ts'
import { check } from '../checker/check.ts'
import { lineOf, readLedger } from '../checker/read.ts'
import type { AdminRecord, ClientRecord, GatewayLine, Seen } from '../checker/records.ts'
import type { LedgerEntry } from '../../src/store/records.ts'
import { adminSend } from '../fixtures/admin-client.ts'
import { addresses, startFleet, startRole } from '../fixtures/fleet.ts'
import type { Lanekeeper } from '../fixtures/processes.ts'
import {
  nowMs,
  requestThrough,
  tunnelThrough,
  type Place,
  type RecordedJob,
} from '../fixtures/recorded-client.ts'
import { startRecordedTarget } from '../fixtures/recorded-target.ts'
import { until } from '../fixtures/until.ts'

const token = 'a-token-that-nobody-else-has'
const idleMs = 60_000
/** Loopback, and few at once: what is counted is whether it is told, not how fast. */
const atOnce = 6

const root = join(import.meta.dirname, '../..')

/** The program with one line of its sources changed, in a folder of its own. */
function patched(t: Test, file: string, from: string, to: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'lanekeeper-patched-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const name of ['src', 'config', 'package.json'])
    cpSync(join(root, name), join(folder, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const text = readFileSync(join(folder, file), 'utf8')
  t.ok(text.includes(from), `${file} has what is changed`)
  writeFileSync(join(folder, file), text.replace(from, to))
  return folder
}

async function startGateway(
  t: Test,
  env: { readonly [name: string]: string },
  folder = root,
): Promise<Lanekeeper> {
  const { startLanekeeper } = (await import(join(folder, 'src/demo/processes.ts'))) as {
    readonly startLanekeeper: typeof startProcess
  }
  const gateway = await startLanekeeper({ ...env, ROLE: 'gateway' })
  t.teardown(() => gateway.stop('SIGKILL'))
  return gateway
}

function linesOf(gateway: Lanekeeper, name: string): GatewayLine[] {
  return gateway
    .output()
    .split('\n')
    .flatMap((text) => lineOf(text, name) ?? [])
}

t.setTimeout(110_000)
const seen: Seen[] = []
const target = await startRecordedTarget((text) => void seen.push({ where: 'target', text }))
t.teardown(target.close)
const fleet = await startFleet(t)
const env = { ...fleet.env, LOG_LEVEL: 'debug', GATEWAY_TOKENS: `main:${token}`, PIN_IDLE_MS: String(idleMs) }
const control = await startRole(t, { env }, 'control')
await until('the upstreams run', async () => {
  const { body } = await adminSend(control, 'GET', '/v1/fleet')
  return body.states.running === addresses.length
})
const rule = { kind: 'deny', type: 'statement', institution: '*', upstreams: { ids: [fleet.upstreamIds[0]] } }
const asked = nowMs()
const ruled = await adminSend(control, 'POST', '/v1/restrictions', { body: rule, key: 'the-rule' })
const admin: AdminRecord[] = [
  {
    key: 'the-rule',
    asks: 'POST /v1/restrictions',
    sentMs: asked,
    status: ruled.status,
    answer: JSON.stringify(ruled.body),
  },
]

/** Each job: two tunnels and a plain request through any of the gateways, then its release. */
async function load(places: readonly Place[], mark: string, jobs: number): Promise<ClientRecord[]> {
  const records: ClientRecord[] = []
  let next = 0
  const place = (number: number) => places[number % places.length]!
  async function worker(): Promise<void> {
    for (let number = (next += 1); number <= jobs; number = next += 1) {
      const isPayment = number % 2 === 0
      const job: RecordedJob = {
        id: `${mark}${number}`,
        type: isPayment ? 'payment' : 'statement',
        institution: isPayment ? 'bank-a' : null,
      }
      const bytes = { up: 20_000, down: 100_000 }
      records.push(await tunnelThrough(place(number), job, target, { ...bytes, holdMs: null }))
      records.push(await tunnelThrough(place(number + (number >> 1)), job, target, { ...bytes, holdMs: 5 }))
      records.push(await requestThrough(place(number + 1), job, target, { road: 'http', down: 5000 }))
      records.push(await requestThrough(place(number), job, target, { road: 'release' }))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return records.sort((a, b) => a.endedMs - b.endedMs)
}

async function verdictOf(
  gateways: readonly { readonly name: string; readonly process: Lanekeeper }[],
  clients: ClientRecord[],
  jobMark: string,
) {
  const rows: (LedgerEntry & { at: string })[] = (await adminSend(control, 'GET', '/v1/ledger?limit=1000'))
    .body.items
  const lines = () =>
    gateways.map(({ name, process }) =>
      linesOf(process, name).filter(({ job }) => job?.startsWith(jobMark) ?? true),
    )
  const closed = () =>
    lines()
      .flat()
      .filter(({ name }) => name === 'tunnel_closed').length
  const served = clients.filter(({ road, code }) => road !== 'release' && code === null).length
  await until('every tunnel is told of', () => closed() >= served)
  return check(
    {
      clients: [clients],
      gateways: lines(),
      ledger: readLedger(rows.toReversed()),
      admin,
      seen: seen.splice(0),
    },
    { secrets: [token], jobMark, idleMs },
  )
}

const first = await startGateway(t, env)
const placeOf = (gateway: string, { gatewayPort }: Lanekeeper): Place => ({
  gateway,
  port: gatewayPort!,
  token,
})

t.test('a real run is clean', async (t) => {
  const second = await startGateway(t, env)
  const clients = await load([placeOf('g1', first), placeOf('g2', second)], 'clean-', 60)
  const verdict = await verdictOf(
    [
      { name: 'g1', process: first },
      { name: 'g2', process: second },
    ],
    clients,
    'clean-',
  )
  t.same(verdict.violations, [])
  t.match(verdict, { isVoid: false, exceptions: {}, undecided: {} })
  t.equal(verdict.joined.answered, 180)
})

const bugs = [
  {
    name: 'a ring that gives its first one again and again',
    invariant: 4,
    file: 'src/store/redis/lua/ring.lua',
    from: "ring, ring, 'LEFT', 'RIGHT'",
    to: "ring, ring, 'LEFT', 'LEFT'",
  },
  {
    name: 'a gateway that dials another upstream than it says',
    invariant: 1,
    file: 'src/gateway/dial.ts',
    from: 'port: upstream.port',
    to: `port: ${fleet.env.STATIC_UPSTREAMS!.split(':').at(-1)}`,
  },
]

for (const { name, invariant, file, from, to } of bugs)
  t.test(`found in a real run: ${name}`, async (t) => {
    const wrong = await startGateway(t, env, patched(t, file, from, to))
    const mark = `wrong-${invariant}-`
    const clients = await load([placeOf('g1', first), placeOf('g2', wrong)], mark, 30)
    const { broken, isVoid } = await verdictOf(
      [
        { name: 'g1', process: first },
        { name: 'g2', process: wrong },
      ],
      clients,
      mark,
    )
    t.notOk(isVoid)
    t.ok((broken[invariant] ?? 0) > 0, JSON.stringify(broken))
  })
