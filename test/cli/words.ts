import t from 'tap'
import type { Step, Upstream } from '../../src/cli/shapes.ts'
import type { Restriction } from '../../src/cli/shapes.ts'
import {
  addressOf,
  laneOf,
  reasonOf,
  ruleOf,
  selectorOf,
  stateOf,
  stepOf,
  targetsOf,
} from '../../src/cli/words.ts'

const rule = {
  id: 'cl-only',
  kind: 'exclusive',
  type: 'payment',
  institution: '*',
  upstreams: { labels: { pool: 'cl', zone: 'a' } },
  overflow: false,
  source: 'api',
}
const upstream = { id: 'up-1', host: '10.0.0.5', port: 8888, egressIp: '203.0.113.5' }

t.test('a step of the ledger is a sentence', (t) => {
  const cases: [step: Step, wanted: string][] = [
    [{ kind: 'upstream_added', upstream }, 'added upstream up-1 at 10.0.0.5:8888, egress IP 203.0.113.5'],
    [
      { kind: 'upstream_added', upstream: { ...upstream, host: '::1', egressIp: null } },
      'added upstream up-1 at [::1]:8888',
    ],
    [
      { kind: 'upstream_changed', id: 'up-1', from: { quarantined: false }, to: { quarantined: true } },
      'quarantined upstream up-1',
    ],
    [
      { kind: 'upstream_changed', id: 'up-1', from: { quarantined: true }, to: { quarantined: false } },
      'released upstream up-1',
    ],
    [
      { kind: 'upstream_changed', id: 'up-1', from: { ejected: false }, to: { ejected: true } },
      'ejected upstream up-1',
    ],
    [
      { kind: 'upstream_changed', id: 'up-1', from: { ejected: true }, to: { ejected: false } },
      'took back upstream up-1',
    ],
    [
      {
        kind: 'upstream_changed',
        id: 'up-1',
        from: { name: 'a', labels: {} },
        to: { name: 'b', labels: { k: 'v' } },
      },
      'changed name of upstream up-1 from a to b, changed labels of upstream up-1 from - to k=v',
    ],
    [{ kind: 'upstream_deleted', id: 'up-1', by: 'operator' }, 'deleted upstream up-1'],
    [{ kind: 'upstream_deleted', id: 'up-1', by: 'provider' }, 'upstream up-1 is gone from its provider'],
    [
      { kind: 'restriction_added', restriction: rule, source: 'api' },
      'added restriction cl-only: exclusive payment/* on pool=cl,zone=a',
    ],
    [
      {
        kind: 'restriction_replaced',
        from: rule,
        restriction: { ...rule, kind: 'deny', upstreams: { ids: ['a', 'b'] } },
      },
      'replaced restriction cl-only: deny payment/* on a,b; it was exclusive payment/* on pool=cl,zone=a',
    ],
    [
      { kind: 'restriction_removed', restriction: { ...rule, overflow: true } },
      'removed restriction cl-only: exclusive payment/* on pool=cl,zone=a, with overflow',
    ],
    [{ kind: 'upstream_added', upstream: { ...upstream, host: '', port: 1 } }, 'ordered upstream up-1'],
    [
      { kind: 'size_wanted', from: null, to: 5, configured: 4 },
      'changed how many upstreams are wanted from any number to 5',
    ],
    [
      { kind: 'size_wanted', from: 5, to: null, configured: 4 },
      'changed how many upstreams are wanted from 5 to any number',
    ],
    [{ kind: 'size_wanted', from: 5, to: 5, configured: 4 }, 'noted that the configured size is 4'],
    [
      { kind: 'upstream_changed', id: 'up-1', from: { state: 'provisioning' }, to: { state: 'running' } },
      'upstream up-1 is running',
    ],
    [{ kind: 'eviction_asked' }, 'asked to release the jobs that no longer fit'],
    [{ kind: 'jobs_evicted', asked: 7, jobs: 1 }, 'released 1 job that no longer fit version 7'],
    [{ kind: 'jobs_evicted', asked: 7, jobs: 12 }, 'released 12 jobs that no longer fit version 7'],
    [{ kind: 'version_raised', above: 41 }, 'raised the version above 41, which the store of pins had'],
    [{ kind: 'drain_started', id: 'up-1', pins: 3 }, 'drain started id=up-1,pins=3'],
    [{ kind: 'something_new' }, 'something new'],
    [{ kind: 'constructor' }, 'constructor'],
    [{ kind: 'restriction_added', restriction: null }, 'restriction added restriction=-'],
    [{ kind: 'upstream_changed', id: 'up-1' }, 'upstream changed id=up-1'],
  ]
  for (const [step, wanted] of cases) t.equal(stepOf(step), wanted, wanted)
  t.end()
})

t.test('states, addresses, lanes and rules', (t) => {
  const one = { state: 'running', quarantined: false, ejected: false, pins: 3 }
  const drain = { deadline: '', thenDelete: false, drainedAt: null, shut: null }
  const states: [said: Partial<Upstream>, wanted: string][] = [
    [{}, 'running'],
    [{ quarantined: true }, 'running (quarantined)'],
    [{ quarantined: true, ejected: true }, 'running (quarantined, ejected)'],
    [{ state: 'draining', drain }, 'draining (3 jobs left)'],
    [{ state: 'draining', drain, pins: 1, quarantined: true }, 'draining (1 job left, quarantined)'],
    [{ state: 'draining', drain, pins: 0 }, 'draining (no jobs left)'],
    [{ state: 'draining', drain, pins: null }, 'draining (nobody knows how many jobs are left)'],
    [{ state: 'draining', drain: { ...drain, drainedAt: 'then' } }, 'draining (drained)'],
    [{ state: 'deleting', drain }, 'deleting'],
  ]
  for (const [said, wanted] of states) t.equal(stateOf({ ...one, ...said }), wanted, wanted)
  t.equal(addressOf({ host: null, port: null }), null)
  t.equal(addressOf({ host: 'fd00::5', port: 1 }), '[fd00::5]:1')
  t.equal(laneOf({ type: null, institution: 'bank-a' }), '*/bank-a')
  t.equal(selectorOf({ ids: ['a', 'b'] }), 'a,b')
  t.equal(ruleOf(rule), 'exclusive payment/* on pool=cl,zone=a')
  t.end()
})

t.test('what a rule says of targets', (t) => {
  const targets = ['bank.example', '*.bank.example', '203.0.113.0/24', 'b.example', 'c.example']
  const only = {
    ...rule,
    kind: 'targets',
    upstreams: { ids: [] },
    targets: targets.slice(0, 2),
    report: false,
  }
  const rows: [said: Partial<Restriction>, words: string][] = [
    [{ ...only }, 'targets payment/* to bank.example,*.bank.example'],
    [{ ...only, report: true }, 'targets payment/* to bank.example,*.bank.example, report only'],
    [{ ...only, targets }, 'targets payment/* to bank.example,*.bank.example,203.0.113.0/24 and 2 more'],
    [
      { targets: ['bank.example'], overflow: true },
      'exclusive payment/* on pool=cl,zone=a, with overflow, to bank.example',
    ],
    [{ targets: null, report: false }, 'exclusive payment/* on pool=cl,zone=a'],
  ]
  for (const [said, words] of rows) t.equal(ruleOf({ ...rule, ...said }), words, words)
  t.equal(targetsOf({}), null, 'of an older server')
  t.end()
})

t.test('a reason of a refusal is told in words, a new one as it stands', (t) => {
  for (const reason of [
    'provisioning',
    'draining',
    'denied',
    'kept_for_others',
    'lane_kept_elsewhere',
    'quarantined',
    'ejected',
  ])
    t.not(reasonOf(reason), reason, reason)
  t.equal(reasonOf('cooling_down'), 'cooling down')
  t.equal(reasonOf('constructor'), 'constructor')
  t.end()
})
