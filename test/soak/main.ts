// The soak: gateways, controls, Redis, PostgreSQL and upstreams under mixed load, with one fault after the other; then the
// checker over all records (test/checker), and how much each gateway has grown.
//
//   npm run soak -- --minutes 20 [--seed N] [--gateways 3] [--controls 2] [--rate 8] [--no-faults] [--keep]
//
// 0 clean; 1 a violation, growth, or a part that ended by itself: its records are kept then, and their folder is told.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { LedgerEntry } from '../../src/store/records.ts'
import { check } from '../checker/check.ts'
import { readJsonLines, readLedger, readLog } from '../checker/read.ts'
import type { Fault, Settings, Tables } from '../checker/records.ts'
import { inWords, type Verdict } from '../checker/verdict.ts'
import { until } from '../fixtures/until.ts'
import { makeRandom } from '../fuzz/random.ts'
import { runFaults } from './faults.ts'
import { makeGauge, type Growth } from './growth.ts'
import { startLoad } from './load.ts'
import { fleetSize, makeOperator, type Operator } from './operator.ts'
import { makeRecorder, type Recorder } from './recorder.ts'
import { idleMs, jobMark, startWorld, token, type World } from './world.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    gateways: { type: 'string', default: '3' },
    controls: { type: 'string', default: '1' },
    rate: { type: 'string', default: '8' },
    'no-faults': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
})
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
if (!(minutes > 0) || !Number.isInteger(seed)) {
  console.error('--minutes and --seed are numbers')
  process.exit(2)
}

/** Gauges are read so often. */
const readEveryMs = 3000
/** Growth below these is noise; beyond them, by more than its error, it is a leak. By the hour. */
const growthAtMost: { readonly [what: string]: number } = {
  descriptors: 100,
  'RSS (MB)': 150,
  'heap after GC (share of what it may use)': 0.01,
  'known pins': 2000,
  connections: 100,
  tunnels: 100,
}
/** Shorter runs say nothing of growth. */
const growthFromMinutes = 8

const beganMs = performance.now()
function say(what: string): void {
  console.log(`${((performance.now() - beganMs) / 1000).toFixed(0).padStart(5)} s  ${what}`)
}

async function untilSettled(operator: Operator, want: number): Promise<void> {
  await until(
    'the fleet has settled',
    async () => {
      const { states } = (await operator.look('/v1/fleet')) as { states: { [state: string]: number } }
      return (
        (states.running ?? 0) >= want &&
        !['provisioning', 'draining', 'deleting'].some((state) => (states[state] ?? 0) > 0)
      )
    },
    { withinMs: 300_000, everyMs: 500 },
  )
}

async function operate(operator: Operator, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await operator.act().catch((error: unknown) => say(`the operator met ${String(error)}`))
    await delay(4000, undefined, { signal }).catch(() => undefined)
  }
}

/** While control is still there. */
async function takeTables(operator: Operator, { engine }: World, recorder: Recorder): Promise<void> {
  const rows: LedgerEntry[] = []
  for (let after = ''; ;) {
    const page = (await operator.look(`/v1/ledger?limit=1000${after}`)) as {
      items: LedgerEntry[]
      next: string | null
    }
    rows.push(...page.items)
    if (page.next === null) break
    after = `&after=${encodeURIComponent(page.next)}`
  }
  writeFileSync(
    recorder.fileOf('ledger'),
    rows
      .toReversed()
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  const { version, hash } = (await operator.look('/v1/ledger/verify')) as { version: number; hash: string }
  const upstreams = [...(await operator.upstreams()), ...(await operator.upstreams('&state=deleted'))]
  const { items } = (await operator.look('/v1/restrictions?limit=1000')) as { items: Tables['restrictions'] }
  const fields = [
    'id',
    'state',
    'name',
    'egressIp',
    'labels',
    'ejected',
    'quarantined',
    'instanceId',
    'incarnation',
    'addedBy',
  ]
  const compared = upstreams.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([field]) => fields.includes(field))),
  )
  const tables = { version, ledgerHash: hash, upstreams: compared, restrictions: items }
  writeFileSync(recorder.fileOf('tables'), JSON.stringify(tables))
  const machines = engine.instances().map(({ name, id }) => ({ name, incarnation: id }))
  writeFileSync(recorder.fileOf('machines'), JSON.stringify(machines))
}

async function verdictOn(recorder: Recorder, world: World): Promise<Verdict> {
  const settings: Partial<Settings> = {
    idleMs,
    // A busy machine: its processes come to their work late.
    skewMs: 2000,
    tieMs: 300,
    answerMs: 3000,
    longestPinMs: 30_000,
    secrets: [token],
    jobMark,
  }
  const named = (kind: string) => ['--' + kind, recorder.fileOf(kind)].join(' ')
  const logs = world.gateways.flatMap(({ name, logs }) => logs.map((log) => ({ name, log })))
  writeFileSync(
    join(recorder.folder, 'check.sh'),
    `node test/checker/main.ts ${['clients', 'ledger', 'calls', 'faults', 'admin', 'seen', 'tables', 'machines'].map(named).join(' ')} ` +
      `${logs.map(({ name, log }) => `--gateway ${name}=${log}`).join(' ')} --settings '${JSON.stringify(settings)}'\n`,
  )
  const document = <Whole>(kind: string) => JSON.parse(readFileSync(recorder.fileOf(kind), 'utf8')) as Whole
  return check(
    {
      clients: [readJsonLines(recorder.fileOf('clients'))],
      gateways: logs.map(({ name, log }) => readLog(log, name)),
      ledger: readLedger(readJsonLines(recorder.fileOf('ledger'))),
      calls: readJsonLines(recorder.fileOf('calls')),
      faults: readJsonLines(recorder.fileOf('faults')),
      admin: readJsonLines(recorder.fileOf('admin')),
      seen: readJsonLines(recorder.fileOf('seen')),
      tables: document('tables'),
      machines: document('machines'),
    },
    settings,
  )
}

function tellGrowth(growth: readonly Growth[]): string[] {
  const problems: string[] = []
  for (const { process, what, perHour, error, mean, readings } of growth) {
    const told = `${process}: ${what} ${mean.toFixed(2)} on average, ${perHour.toFixed(2)} ± ${error.toFixed(2)} an hour (${readings} readings)`
    say(told)
    if (minutes >= growthFromMinutes && perHour - error > (growthAtMost[what] ?? Infinity))
      problems.push(`grows: ${told}`)
  }
  return problems
}

/** With nothing to do it holds what it held before the load, but for connections that are kept for a while. */
function leftOpen(name: string, before: number, now: number): string[] {
  say(`${name}: ${before} descriptors before the load, ${now} after it`)
  return now > before + 25
    ? [`${name} has ${now} descriptors open with nothing to do, ${before} at its start`]
    : []
}

async function soak(recorder: Recorder, world: World): Promise<string[]> {
  const random = (stream: number) => makeRandom((seed + stream * 7919) >>> 0)
  const operator = makeOperator({
    controls: world.controls,
    random: random(1),
    write: (record) => recorder.write('admin', record),
  })
  await operator.change('PUT', '/v1/fleet', { wanted: fleetSize })
  await untilSettled(operator, fleetSize)
  await Promise.all(world.gateways.map(({ adminPort, name }) => untilReady(name, adminPort)))
  say(`${fleetSize} upstreams run; the load begins`)

  const gauge = makeGauge(world.gateways)
  await gauge.readAll()
  const before = new Map(world.gateways.map((one) => [one, gauge.last(one).descriptors ?? 0]))
  const load = startLoad({
    perSecond: Number(values.rate),
    random: random(2),
    gateways: world.gateways,
    target: world.target,
    write: (record) => recorder.write('clients', record),
  })
  await delay(3000)
  const loadedMs = performance.now()
  const stop = new AbortController()
  const timer = setInterval(() => void gauge.readAll(), readEveryMs)
  const ending = setTimeout(() => stop.abort(), minutes * 60_000)
  const operating = operate(operator, stop.signal)
  const write = (fault: Fault) => recorder.write('faults', fault)
  const parts = { world, operator, random: random(3), write, signal: stop.signal, say }
  const injected = values['no-faults']
    ? delay(minutes * 60_000, 0)
    : runFaults(parts).finally(() => stop.abort())
  const faults = await injected
  clearTimeout(ending)
  stop.abort()
  await operating
  const loadMs = performance.now() - loadedMs
  clearInterval(timer)

  say(`${faults} faults are over; what is under way ends`)
  await load.stop()
  await untilSettled(operator, fleetSize)
  const growth = gauge.growth(loadedMs + loadMs)
  await until(
    'no tunnel is open',
    async () => {
      await gauge.readAll()
      return world.gateways.every((one) => (gauge.last(one).tunnels ?? 0) === 0)
    },
    { withinMs: 60_000, everyMs: 500 },
  )
  const left = world.gateways.flatMap((one) =>
    leftOpen(one.name, before.get(one)!, gauge.last(one).descriptors ?? 0),
  )
  await takeTables(operator, world, recorder)
  for (const kept of [...world.gateways, ...world.controls]) await kept.stop('SIGTERM')
  await recorder.close()

  const requests = [...load.outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ')
  say(`${load.jobs()} jobs; ${requests}; the longest wait was ${(load.longestMs() / 1000).toFixed(1)} s`)
  const problems = [...tellGrowth(growth), ...left]
  for (const kept of [...world.gateways, ...world.controls]) problems.push(...kept.fell())
  const verdict = await verdictOn(recorder, world)
  console.log(inWords(verdict))
  if (verdict.violations.length > 0) problems.push('the checker found violations')
  if (verdict.isVoid) problems.push('too few clients were joined')
  return problems
}

async function untilReady(name: string, adminPort: number): Promise<void> {
  const isReady = async () =>
    (await fetch(`http://127.0.0.1:${adminPort}/readyz`).catch(() => null))?.status === 200
  await until(`${name} is ready`, isReady, { withinMs: 60_000, everyMs: 100 })
}

console.log(`soak: seed ${seed}, ${minutes} minutes (npm run soak -- --minutes ${minutes} --seed ${seed})`)
const recorder = makeRecorder()
let problems: string[] = []
let world: World | null = null
try {
  world = await startWorld(recorder, { gateways: Number(values.gateways), controls: Number(values.controls) })
  problems = await soak(recorder, world)
} catch (error) {
  problems.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
} finally {
  await world?.stop()
}
for (const problem of problems) console.log(`PROBLEM: ${problem}`)
if (problems.length > 0 || values.keep)
  console.log(`the records are in ${recorder.folder}; check.sh there asks the checker again`)
else rmSync(recorder.folder, { recursive: true, force: true })
console.log(problems.length === 0 ? 'clean' : 'NOT clean')
process.exit(problems.length === 0 ? 0 : 1)
