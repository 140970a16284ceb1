// The checker (test/checker) on records made by hand: a clean run is clean, each damage to it is found, and what design 13
// allows is counted and never silent.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { check } from '../checker/check.ts'
import { lineOf } from '../checker/read.ts'
import type {
  AdminRecord,
  ClientRecord,
  Fault,
  GatewayLine,
  Machine,
  ProviderCall,
  Seen,
  Settings,
  Tables,
} from '../checker/records.ts'
import type { Exception, Invariant, Verdict } from '../checker/verdict.ts'
import type { LedgerEntry } from '../../src/store/records.ts'
import { addressOf, chain, denied, drained, makeCheckedRun } from '../fixtures/checked-run.ts'

t.setTimeout(110_000)

const secret = 'hunter2'
const jobCount = 400

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }

/** All in memory, to be damaged. */
type Run = {
  clients: Writable<ClientRecord>[]
  lines: Writable<GatewayLine>[]
  ledger: Writable<LedgerEntry>[]
  calls: Writable<ProviderCall>[]
  admin: AdminRecord[]
  faults: Fault[]
  tables: Tables
  machines: Machine[]
  seen: Seen[]
  drainMs: number
  emptyMs: number
}

const made = new Map<number, Run>()

/** One's own, to be damaged. */
function cleanRun(seed = 1): Run {
  const run = made.get(seed) ?? makeRun(seed)
  made.set(seed, run)
  return structuredClone(run)
}

function makeRun(seed: number): Run {
  const { records, drainMs, emptyMs } = makeCheckedRun(jobCount, seed)
  const lines = records.gateways.flatMap((feed) => [...(feed as Iterable<GatewayLine>)])
  return {
    clients: [...(records.clients[0] as Iterable<ClientRecord>)],
    lines: lines.sort((a, b) => a.atMs - b.atMs),
    ledger: [...(records.ledger as LedgerEntry[])],
    calls: [...(records.calls as ProviderCall[])],
    admin: [...(records.admin as AdminRecord[])],
    faults: [],
    tables: records.tables!,
    machines: [...records.machines!],
    seen: [...(records.seen as Seen[])],
    drainMs,
    emptyMs,
  }
}

function verdictOf(run: Run, settings: Partial<Settings> = {}): Promise<Verdict> {
  const gateways = ['g1', 'g2'].map((name) => run.lines.filter(({ gateway }) => gateway === name))
  for (const lines of gateways) lines.sort((a, b) => a.atMs - b.atMs)
  const clients = run.clients.toSorted((a, b) => a.endedMs - b.endedMs)
  return check({ ...run, clients: [clients], gateways }, { secrets: [secret], jobMark: 'job-', ...settings })
}

/** Everything of a job goes through another upstream from its `from`th tunnel on; its pin too from the first. */
function reroute(run: Run, job: string, to: string, from = 0): void {
  const address = addressOf(to)
  const opened = run.lines.filter((line) => line.job === job && line.name === 'tunnel_opened')
  const moved = new Set(opened.slice(from).map(({ requestId }) => requestId))
  for (const line of run.lines.filter((line) => line.job === job)) {
    if (line.requestId !== undefined && !moved.has(line.requestId)) continue
    if (line.requestId === undefined && from > 0) continue
    if (line.upstream !== undefined) line.upstream = to
    if (line.egressIp !== undefined) line.egressIp = address
  }
  const told = run.clients.filter((record) => record.job === job && record.road === 'connect')
  for (const record of told.slice(from)) Object.assign(record, { upstream: to, egressIp: address, address })
}

/** Lane `statement` has odd numbers; the first half is before the drain. */
const early = { of: (pick: number) => `job-${20 + (pick % 150)}` }
const late = { of: (pick: number) => `job-${jobCount - 20 - (pick % 50)}` }
const find = (run: Run, job: string, name: string) =>
  run.lines.find((line) => line.job === job && line.name === name)!
const recordOf = (run: Run, job: string) =>
  run.clients.find((record) => record.job === job && record.road === 'connect')!
/** Where it is not already, and its lane may be. */
function another(run: Run, job: string): string {
  const { upstream } = find(run, job, 'pin_made')
  return upstream === 'up-1' ? 'up-4' : 'up-1'
}

type Damage = {
  readonly name: string
  readonly invariant: Invariant
  /** @param pick  any number, to choose by */
  readonly damage: (run: Run, pick: number) => void
  readonly settings?: Partial<Settings>
}

const damages: readonly Damage[] = [
  {
    name: 'a job whose second tunnel goes through another upstream',
    invariant: 1,
    damage: (run, pick) => reroute(run, early.of(pick), another(run, early.of(pick)), 1),
  },
  {
    name: 'an upstream from which a target saw another address than it has',
    invariant: 1,
    damage: (run, pick) => void (recordOf(run, early.of(pick)).address = '127.0.1.77'),
  },
  {
    name: 'a job that comes back on another upstream before its pin may have ended',
    invariant: 1,
    damage(run, pick) {
      const job = early.of(pick)
      run.lines = run.lines.filter((line) => !(line.job === job && line.name === 'pin_released'))
      reroute(run, job, another(run, job), 1)
    },
  },
  {
    name: 'a pin asked for after the drain was acknowledged',
    invariant: 2,
    damage(run, pick) {
      const job = late.of(pick)
      const made = find(run, job, 'pin_made')
      // Of the version before the drain, as by a gateway that nobody waited for.
      made.version = 6
      reroute(run, job, drained)
      run.ledger = chain(
        run.ledger.map((row) => (row.version === 8 ? { ...row, atMs: made.atMs - 20 } : row)),
      )
      run.tables = { ...run.tables, ledgerHash: null }
    },
  },
  {
    name: 'a pin long after the drain was acknowledged, of which no client tells',
    invariant: 2,
    damage(run) {
      const line = { ...find(run, 'job-0', 'pin_made'), job: 'job-x', version: 6, upstream: drained }
      run.lines.push({ ...line, atMs: run.emptyMs + 20_000 })
    },
  },
  {
    name: 'a pin that a rule of its version denies',
    invariant: 3,
    damage: (run, pick) => reroute(run, `job-${21 + 2 * (pick % 70)}`, denied),
  },
  {
    name: 'a pin on what its version has drained',
    invariant: 3,
    damage: (run, pick) => reroute(run, late.of(pick), drained),
  },
  {
    name: 'a turn out of turn',
    invariant: 4,
    settings: { tieMs: 0 },
    damage: (run, pick) => reroute(run, early.of(pick), another(run, early.of(pick))),
  },
  {
    name: 'a lane in which one upstream gets every second turn, whatever the clocks say',
    invariant: 4,
    damage(run) {
      for (let number = 0; number < jobCount; number += 4) reroute(run, `job-${number}`, 'up-1')
    },
  },
  {
    name: 'an upstream that comes back with a turn before all who wait',
    invariant: 4,
    settings: { tieMs: 0 },
    damage(run) {
      const mid = run.lines
        .filter((line) => line.name === 'pin_made' && line.type === 'payment')
        .slice(30, 90)
      for (const line of mid.slice(0, 1)) reroute(run, line.job!, 'up-2')
      for (const line of mid.slice(1, 2)) reroute(run, line.job!, 'up-2')
    },
  },
  {
    name: 'a machine deleted while jobs are pinned to it',
    invariant: 5,
    damage: (run) => void (run.calls.at(-1)!.fromMs = run.drainMs + 50),
  },
  {
    name: 'a machine deleted under an open tunnel',
    invariant: 5,
    damage(run, pick) {
      const jobs = run.lines.filter((line) => line.name === 'pin_made' && line.upstream === drained)
      const { job } = jobs[pick % jobs.length]!
      run.lines = run.lines.filter((line) => !(line.job === job && line.name === 'tunnel_closed'))
    },
  },
  {
    name: 'a machine that nobody remembers',
    invariant: 6,
    damage: (run) => void run.machines.push({ name: 'up-9', incarnation: '19' }),
  },
  {
    name: 'a running upstream whose machine is not there',
    invariant: 6,
    damage: (run, pick) => void run.machines.splice(pick % 3, 1),
  },
  {
    name: 'an order that made two machines',
    invariant: 6,
    damage: (run, pick) =>
      void run.calls.push({ ...run.calls[pick % 4]!, instance: 'up-8', incarnation: '18' }),
  },
  {
    name: 'a machine that was made twice',
    invariant: 6,
    damage: (run, pick) =>
      void run.calls.push({
        ...run.calls[pick % 4]!,
        requestId: 'other',
        incarnation: '77',
        fromMs: run.drainMs,
      }),
  },
  {
    name: 'a deletion that never ended',
    invariant: 6,
    damage(run) {
      const upstreams = run.tables.upstreams.map((row) =>
        row.id === drained ? { ...row, state: 'deleting' as const } : row,
      )
      run.tables = { ...run.tables, upstreams }
    },
  },
  {
    name: 'a sync that writes over what came after its list',
    invariant: 7,
    damage(run) {
      const atMs = run.ledger.at(-1)!.atMs + 100
      const steps = [
        {
          kind: 'upstream_changed' as const,
          id: 'up-1',
          from: { quarantined: false },
          to: { quarantined: true },
        },
      ]
      const undone = [
        {
          kind: 'upstream_changed' as const,
          id: 'up-1',
          from: { quarantined: true },
          to: { quarantined: false },
        },
      ]
      run.ledger = chain([
        ...run.ledger,
        { actor: 'control', atMs, steps },
        { actor: 'control', atMs: atMs + 10, steps: undone, reason: 'sync: as it was' },
      ])
      run.tables = { ...run.tables, version: 11, ledgerHash: run.ledger.at(-1)!.hash }
    },
  },
  {
    name: 'a key that was answered in two ways',
    invariant: 8,
    damage: (run, pick) => {
      const record = run.admin[pick % run.admin.length]!
      run.admin.push({ ...record, status: 201, answer: '{"version":99}' })
      run.admin.push({ ...record, status: 201, answer: '{"version":98}' })
    },
  },
  {
    name: 'a change by people more than keys were used',
    invariant: 8,
    damage: (run) => void (run.admin = run.admin.filter(({ key }) => key !== run.admin[0]!.key)),
  },
  {
    name: 'a row of the ledger that was changed',
    invariant: 9,
    damage: (run, pick) =>
      void (run.ledger[pick % run.ledger.length] = { ...run.ledger[pick % 9]!, actor: 'nobody' }),
  },
  {
    name: 'a row of the ledger that is missing',
    invariant: 9,
    damage: (run, pick) => void run.ledger.splice(pick % (run.ledger.length - 1), 1),
  },
  {
    name: 'a table that is not what the ledger comes to',
    invariant: 9,
    damage(run, pick) {
      const upstreams = run.tables.upstreams.map((row, place) =>
        place === pick % 4 ? { ...row, ejected: true } : row,
      )
      run.tables = { ...run.tables, upstreams }
    },
  },
  {
    name: 'a job id at a target',
    invariant: 10,
    damage: (run, pick) => void run.seen.push({ where: 'target', text: `x-job-id: job-${pick}` }),
  },
  {
    name: 'a token in the log of a gateway',
    invariant: 10,
    damage: (run, pick) => void (run.lines[pick % run.lines.length]!.text = `{"token":"${secret}"}`),
  },
  {
    name: 'an answer that was cut and ended in order',
    invariant: 11,
    damage(run, pick) {
      recordOf(run, early.of(pick)).flows = [
        { expectedBytes: 1000, gotBytes: 999, isPrefix: true, end: 'end' },
      ]
    },
  },
  {
    name: 'bytes in another order, in a tunnel that was reset',
    invariant: 11,
    damage(run, pick) {
      recordOf(run, early.of(pick)).flows = [
        { expectedBytes: null, gotBytes: 10, isPrefix: false, end: 'reset' },
      ]
    },
  },
  {
    name: 'a request that never ended',
    invariant: 'answers',
    damage(run, pick) {
      const closed = run.lines.filter(({ name }) => name === 'tunnel_closed')
      run.lines.splice(run.lines.indexOf(closed[pick % closed.length]!), 1)
    },
  },
  {
    name: 'a request that ended twice',
    invariant: 'answers',
    damage(run, pick) {
      const closed = run.lines.filter(({ name }) => name === 'tunnel_closed')
      const line = closed[pick % closed.length]!
      run.lines.push({ ...line, name: 'request_refused', code: 'upstream_failed' })
    },
  },
]

t.test('a clean run is clean, and everything of it is joined', async (t) => {
  const verdict = await verdictOf(cleanRun())
  t.same(verdict.violations, [])
  t.match(verdict, { isVoid: false, joined: { share: 1 }, exceptions: {}, undecided: {} })
})

for (const { name, invariant, damage, settings } of damages)
  t.test(`found: ${name}`, async (t) => {
    const property = fc.asyncProperty(fc.nat(1000), fc.integer({ min: 1, max: 3 }), async (pick, seed) => {
      const run = cleanRun(seed)
      damage(run, pick)
      const { violations } = await verdictOf(run, settings)
      return violations.some((one) => one.invariant === invariant)
    })
    await fc.assert(property, { numRuns: 3 })
    t.pass('whatever was damaged')
  })

t.test('too few lines and the run says nothing', async (t) => {
  const run = cleanRun()
  const opened = run.lines.filter(({ name }) => name === 'tunnel_opened')
  const lost = new Set(opened.slice(0, 20).map(({ requestId }) => requestId))
  run.lines = run.lines.filter(({ requestId }) => !lost.has(requestId))
  const verdict = await verdictOf(run)
  t.ok(verdict.isVoid, `${verdict.joined.share}`)
})

t.test('a pin that was asked for before the drain was acknowledged may be told after it', async (t) => {
  const run = cleanRun()
  const job = `job-${jobCount - 20}`
  const made = find(run, job, 'pin_made')
  made.version = 6
  reroute(run, job, drained)
  run.ledger = chain(run.ledger.map((row) => (row.version === 8 ? { ...row, atMs: made.atMs - 0.5 } : row)))
  run.tables = { ...run.tables, ledgerHash: null }
  const { violations } = await verdictOf(run, { checkTurns: false })
  t.same(
    violations.filter(({ invariant }) => invariant === 2),
    [],
  )
})

type Allowed = {
  readonly name: string
  readonly exception: Exception
  /** @param job  which goes through another upstream from its second tunnel on, `movedMs` */
  readonly tell: (run: Run, about: { job: string; from: string; to: string; movedMs: number }) => void
}

const killed = (run: Run, fromMs: number) => {
  for (const whom of ['g1', 'g2']) run.faults.push({ kind: 'gateway_killed', whom, fromMs, toMs: fromMs })
}

const allowed: readonly Allowed[] = [
  {
    name: 'a flex job that was moved',
    exception: 'flex_repin',
    tell(run, { job, from, to, movedMs }) {
      const about = { gateway: 'g1', job, type: 'payment', institution: 'bank-a' }
      run.lines.push({ ...about, atMs: movedMs - 1, name: 'pin_moved', from, to, reason: 'flex' })
    },
  },
  {
    name: 'a pin that stood already when ours was written back',
    exception: 'pin_conflict',
    tell(run, { job, from, to, movedMs }) {
      const line = { gateway: 'g1', job, kept: to, dropped: from }
      // Its gateway was cut off, and is back only now.
      run.lines.push({ ...line, atMs: movedMs + 2000, name: 'pin_conflict' })
    },
  },
  {
    name: 'a store that lost it when all who knew it were dead',
    exception: 'failover_lost_unknown_pin',
    tell(run, { movedMs }) {
      killed(run, movedMs - 20)
      run.faults.push({ kind: 'store_lost_data', whom: null, fromMs: movedMs - 10, toMs: movedMs - 10 })
    },
  },
  {
    name: 'a store that was away for longer than a pin lives',
    exception: 'cut_off_longer_than_idle',
    tell(run, { movedMs }) {
      run.faults.push({ kind: 'store_away', whom: null, fromMs: movedMs - 700_000, toMs: movedMs - 10 })
    },
  },
  {
    name: 'a job by hash whom only some gateways served so',
    exception: 'hash_in_partial_partition',
    tell(run, { job, to, movedMs }) {
      const made = find(run, job, 'pin_made')
      const [gateway, other] = made.gateway === 'g1' ? ['g1', 'g2'] : ['g2', 'g1']
      run.lines.push({ ...made, gateway: other, upstream: to, atMs: movedMs - 1 })
      made.name = 'pin_hashed'
      run.lines.push({ gateway, name: 'store_lost', atMs: made.atMs - 1 })
      run.lines.push({ gateway, name: 'store_found', atMs: movedMs + 50 })
    },
  },
  {
    name: 'a release that was perhaps done, though nobody could say so',
    exception: 'release_unanswered',
    tell(run, { job, movedMs }) {
      const [about] = run.clients.filter((record) => record.job === job)
      const times = { sentMs: movedMs - 20, answeredMs: movedMs - 10, endedMs: movedMs - 10 }
      const nothing = { upstream: null, egressIp: null, address: null, flows: [], requestId: null }
      const refused = { status: 503, code: 'store_unavailable' }
      run.clients.push({ ...about!, ...times, ...nothing, ...refused, road: 'release' })
    },
  },
  {
    name: 'a process that kept its pins in memory',
    exception: 'embedded_exit',
    tell(run, { movedMs }) {
      run.faults.push({ kind: 'embedded_exit', whom: null, fromMs: movedMs - 5, toMs: movedMs - 5 })
    },
  },
]

for (const { name, exception, tell } of allowed)
  t.test(`counted: ${name}`, async (t) => {
    const job = 'job-100'
    const run = cleanRun()
    const from = find(run, job, 'pin_made').upstream!
    const to = another(run, job)
    reroute(run, job, to, 1)
    const second = run.lines.filter((line) => line.job === job && line.name === 'tunnel_opened')[1]!
    const silent = structuredClone(run)
    tell(run, { job, from, to, movedMs: second.atMs })
    const of1 = async (run: Run) => {
      const { violations, exceptions } = await verdictOf(run, { checkTurns: false })
      return { broken: violations.filter(({ invariant }) => invariant === 1).length, exceptions }
    }
    t.match(await of1(run), { broken: 0, exceptions: { [exception]: 1 } })
    t.match(await of1(silent), { broken: 1 }, 'never without being told')
  })

t.test('counted: a person whose change of the rules took the upstream from the job', async (t) => {
  const run = cleanRun()
  const job = 'job-101'
  const from = find(run, job, 'pin_made').upstream!
  reroute(run, job, another(run, job), 1)
  const { atMs } = run.lines.filter((line) => line.job === job && line.name === 'tunnel_opened')[1]!
  const restriction = {
    id: 'away',
    kind: 'deny' as const,
    type: 'statement',
    institution: '*',
    upstreams: { ids: [from] },
    overflow: false,
  }
  const rows = [
    {
      actor: 'admin',
      atMs: atMs - 30,
      steps: [
        { kind: 'restriction_added' as const, restriction, source: 'api' as const },
        { kind: 'eviction_asked' as const },
      ],
    },
    { actor: 'control', atMs: atMs - 20, steps: [{ kind: 'jobs_evicted' as const, asked: 7, jobs: 1 }] },
  ]
  run.ledger = chain([...run.ledger.slice(0, 6), ...rows])
  const { violations, exceptions } = await verdictOf(run, { checkTurns: false })
  t.same(
    violations.filter(({ invariant }) => invariant === 1),
    [],
  )
  t.match(exceptions, { eviction: 1 })
})

t.test('counted: bytes cut by the death of an upstream', async (t) => {
  const run = cleanRun()
  const record = recordOf(run, 'job-50')
  record.flows = [{ expectedBytes: 1000, gotBytes: 400, isPrefix: true, end: 'end' }]
  const atMs = record.endedMs - 1
  run.faults.push({ kind: 'upstream_died', whom: record.upstream, fromMs: atMs, toMs: atMs })
  const { violations, exceptions } = await verdictOf(run)
  t.same(violations, [])
  t.match(exceptions, { cut_by_a_death: 1 })
})

t.test('a line of the log is known by what it says for people', async (t) => {
  const text =
    '{"level":20,"time":"2026-01-01T00:00:00.005Z","jobId":"job-1","upstream":"up-1","by":"job","msg":"pin released"}'
  t.match(lineOf(text, 'g1'), {
    name: 'pin_released',
    job: 'job-1',
    gateway: 'g1',
    atMs: Date.UTC(2026, 0, 1) + 5,
  })
  t.equal(lineOf('admin listening on http://127.0.0.1:1', 'g1'), null)
  t.equal(lineOf('{"level":20,"time":"2026-01-0', 'g1'), null, 'cut by a kill')
})

t.test('of a run six times as long no more is remembered', async (t) => {
  const openIn = async (jobs: number) => {
    const verdict = await check(makeCheckedRun(jobs).records, { idleMs: 60_000 })
    t.same(verdict.violations, [])
    return verdict.openJobs
  }
  const short = await openIn(2500)
  t.equal(await openIn(15_000), short)
})

t.test('the command says it in words and by its exit code', async (t) => {
  const folder = t.testdir({})
  const write = (name: string, items: readonly unknown[]) => {
    writeFileSync(join(folder, name), items.map((item) => `${JSON.stringify(item)}\n`).join(''))
    return join(folder, name)
  }
  const main = join(import.meta.dirname, '../checker/main.ts')
  const run = cleanRun()
  const logOf = (gateway: string) =>
    write(
      `${gateway}.log`,
      run.lines
        .filter((line) => line.gateway === gateway)
        .map(({ atMs, name, ...line }) => ({
          ...line,
          time: new Date(atMs).toISOString(),
          msg: name.replace('_', ' '),
        })),
    )
  const logs = ['g1', 'g2'].map((gateway) => `${gateway}=${logOf(gateway)}`)
  const verdict = (clients: string, ...more: readonly string[]) => {
    const args = ['--clients', clients, ...logs.flatMap((log) => ['--gateway', log]), ...more]
    const { status, stdout } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' })
    return { status, last: stdout.trimEnd().split('\n').at(-1) }
  }
  const ledger = write('ledger.jsonl', run.ledger)
  t.match(verdict(write('clean.jsonl', run.clients), '--ledger', ledger), { status: 0, last: 'clean' })
  recordOf(run, 'job-7').address = '127.0.1.77'
  t.match(verdict(write('wrong.jsonl', run.clients), '--ledger', ledger), { status: 1, last: 'NOT clean' })
  t.equal(spawnSync(process.execPath, [main]).status, 2)
})

t.test('a hashed job that went elsewhere once the store was back is no exception', async (t) => {
  const run = cleanRun()
  const job = 'job-100'
  const made = find(run, job, 'pin_made')
  const to = another(run, job)
  reroute(run, job, to, 1)
  const { atMs } = run.lines.filter((line) => line.job === job && line.name === 'tunnel_opened')[1]!
  const [gateway, other] = made.gateway === 'g1' ? ['g1', 'g2'] : ['g2', 'g1']
  run.lines.push({ ...made, gateway: other, upstream: to, atMs: atMs - 1 })
  made.name = 'pin_hashed'
  run.lines.push({ gateway, name: 'store_lost', atMs: made.atMs - 1 })
  run.lines.push({ gateway, name: 'store_found', atMs: made.atMs + 20 })
  const { violations } = await verdictOf(run, { checkTurns: false, skewMs: 20 })
  t.match(violations, [{ invariant: 1 }])
})
