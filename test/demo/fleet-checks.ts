import t from 'tap'
import type { Upstream } from '../../src/demo/admin-api.ts'
import { checkFleet, type FleetFacts } from '../../src/demo/fleet-checks.ts'
import type { Job } from '../../src/demo/steady-load.ts'

function upstream(id: string, said: Partial<Upstream> = {}): Upstream {
  return {
    id,
    state: 'running',
    zone: 'a',
    host: '127.1.0.1',
    port: 8888,
    egressIp: `ip of ${id}`,
    ejected: false,
    pins: 0,
    tunnels: 0,
    problem: null,
    drain: null,
    ...said,
  }
}

function job(on: string, outcomes: string, said: Partial<Job> = {}): Job {
  return {
    id: 'short-1',
    kind: 'short',
    upstreams: new Set([on]),
    addresses: new Set([`ip of ${on}`]),
    outcomes: outcomes.split(' '),
    isOver: true,
    ...said,
  }
}

const drained = upstream('old', {
  state: 'deleted',
  drain: { drainedAt: '2026-01-01T00:00:00Z', shut: null },
})
const hit = job('dead', 'ok cut upstream_failed upstream_failed pin_lost')
const sound: FleetFacts = {
  jobs: [job('new', 'ok ok ok'), hit, job('dead', 'ok ok ok'), job('old', 'ok')],
  upstreams: [upstream('new'), upstream('dead'), drained],
  drained,
  killed: 'dead',
  listed: [upstream('new')],
  wanted: 1,
  machines: [{ name: 'new', status: 'RUNNING' }],
  ledger: { ok: true, entries: 20, version: 20 },
}

function failing(said: Partial<FleetFacts>): string[] {
  return checkFleet({ ...sound, ...said })
    .filter(({ holds }) => !holds)
    .map(({ what }) => what)
}

const shut = { drainedAt: '2026-01-01T00:00:00Z', shut: { pins: 1, tunnels: 0 } }
const otherIp = new Set(['ip of new', 'ip of dead'])
const cases: { name: string; said: Partial<FleetFacts>; fails: RegExp | null }[] = [
  { name: 'all as it should be', said: {}, fails: null },
  { name: 'no job at all', said: { jobs: [hit].slice(1) }, fails: /changed its IP/ },
  { name: 'two addresses', said: { jobs: [hit, job('new', 'ok', { addresses: otherIp })] }, fails: /its IP/ },
  {
    name: 'another address than that of its upstream',
    said: { jobs: [hit, job('new', 'ok', { addresses: new Set(['ip of dead']) })] },
    fails: /its IP/,
  },
  {
    name: 'two upstreams',
    said: { jobs: [hit, job('new', 'ok', { upstreams: new Set(['new', 'dead']) })] },
    fails: /its IP/,
  },
  {
    name: 'a failure elsewhere',
    said: { jobs: [hit, job('new', 'ok cut ok')] },
    fails: /pinned to the killed/,
  },
  {
    name: 'a failure as it drained',
    said: { jobs: [hit, job('old', 'ok pin_lost')] },
    fails: /pinned to the k/,
  },
  { name: 'nobody was hit', said: { jobs: [job('dead', 'ok')] }, fails: /then pin_lost/ },
  { name: 'pin_lost at once', said: { jobs: [job('dead', 'ok pin_lost')] }, fails: /then pin_lost/ },
  { name: 'no pin_lost', said: { jobs: [job('dead', 'ok upstream_failed')] }, fails: /then pin_lost/ },
  {
    name: 'another code in between',
    said: { jobs: [job('dead', 'ok upstream_failed no_upstream pin_lost')] },
    fails: /then pin_lost/,
  },
  { name: 'it revived', said: { jobs: [job('dead', 'ok upstream_failed ok')] }, fails: /then pin_lost/ },
  {
    name: 'closed at the deadline',
    said: { drained: { ...drained, drain: shut } },
    fails: /nothing left on it/,
  },
  {
    name: 'never drained',
    said: { drained: upstream('old', { state: 'deleted' }) },
    fails: /nothing left on it/,
  },
  { name: 'still there', said: { drained: { ...drained, state: 'deleting' } }, fails: /nothing left on it/ },
  { name: 'a machine too many', said: { machines: machines('new', 'old') }, fails: /cloud has exactly/ },
  { name: 'a machine too few', said: { machines: [] }, fails: /cloud has exactly/ },
  { name: 'another machine', said: { machines: machines('old') }, fails: /cloud has exactly/ },
  { name: 'another number wanted', said: { wanted: 2 }, fails: /cloud has exactly/ },
  {
    name: 'one on its way',
    said: { listed: [upstream('new'), upstream('next', { state: 'provisioning' })] },
    fails: /cloud has exactly/,
  },
  {
    name: 'a broken ledger',
    said: { ledger: { ok: false, version: 3, problem: 'changed' } },
    fails: /ledger is whole/,
  },
]

function machines(...names: string[]) {
  return names.map((name) => ({ name, status: 'RUNNING' }))
}

t.test('each check fails where what it says is not so', async (t) => {
  for (const { name, said, fails } of cases) {
    const failed = failing(said)
    if (fails === null) t.strictSame(failed, [], name)
    else
      t.ok(
        failed.some((what) => fails.test(what)),
        `${name}: ${failed.join('; ')}`,
      )
  }
})
