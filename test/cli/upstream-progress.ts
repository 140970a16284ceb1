import t from 'tap'
import type { Drain, Upstream } from '../../src/cli/shapes.ts'
import { endOf, progressOf, timeLeft, type Goal } from '../../src/cli/upstream-progress.ts'

const now = Date.UTC(2026, 0, 1)
const at = (ms: number) => new Date(now + ms).toISOString()
const drain: Drain = { deadline: at(872_000), thenDelete: false, drainedAt: null, shut: null }
const running: Upstream = {
  id: 'up-1',
  name: 'up-1',
  state: 'running',
  host: '10.0.0.5',
  port: 8888,
  egressIp: null,
  labels: {},
  ejected: false,
  quarantined: false,
  pins: 3,
  tunnels: 1,
}
const draining: Upstream = { ...running, state: 'draining', drain }
const drained: Upstream = { ...draining, drain: { ...drain, drainedAt: at(0) } }
const shut: Upstream = { ...draining, drain: { ...drain, drainedAt: at(0), shut: { pins: 2, tunnels: 1 } } }
const made: Upstream = { ...running, state: 'provisioning' }

t.test('how far it is, in one line', async (t) => {
  const rows: [upstream: Upstream, text: string, ticking?: string][] = [
    [draining, 'draining  3 jobs, 1 tunnel left', ', 14:32 to the deadline'],
    [{ ...draining, pins: 1, tunnels: 0 }, 'draining  1 job, no tunnels left', ', 14:32 to the deadline'],
    [
      { ...draining, pins: 0, tunnels: 0 },
      'draining  no jobs left, waiting for every gateway to say so',
      ', 14:32 to the deadline',
    ],
    [
      { ...draining, pins: null, tunnels: null },
      'draining  jobs not known while Redis is away',
      ', 14:32 to the deadline',
    ],
    [drained, 'drained'],
    [{ ...drained, drain: { ...drained.drain!, thenDelete: true } }, 'drained, to be deleted'],
    [shut, 'drained; its deadline closed 2 jobs, 1 tunnel'],
    [{ ...made, host: null, port: null }, 'provisioning: waiting for its machine'],
    [made, 'provisioning: waiting for good probes'],
    [
      { ...made, problem: 'connection refused', retryAt: at(3200) },
      'provisioning: waiting for good probes (connection refused',
      '; next try in 4 s)',
    ],
    [
      { ...made, problem: 'x', retryAt: at(-5000) },
      'provisioning: waiting for good probes (x',
      '; next try in 0 s)',
    ],
    [{ ...running, state: 'deleting' }, 'deleting'],
    [
      { ...running, state: 'deleting', problem: 'rate_limited: \u001b[2J' },
      'deleting (rate_limited: \\u{1b}[2J',
      ')',
    ],
    [{ ...running, state: 'failed', problem: 'quota: raise it' }, 'failed (quota: raise it', ')'],
    [{ ...running, state: 'deleted' }, 'deleted'],
    [{ ...running, state: 'something_new' }, 'something_new'],
    [{ ...running, state: 'draining' }, 'draining'],
  ]
  for (const [upstream, text, ticking] of rows) {
    const wanted = { subject: 'up-1', text, ...(ticking === undefined ? {} : { ticking }) }
    t.strictSame(progressOf(upstream, now), wanted, text)
  }
})

t.test('the time that is left', async (t) => {
  const rows: [ms: number, text: string][] = [
    [872_000, '14:32'],
    [871_001, '14:32'],
    [59_000, '0:59'],
    [0, '0:00'],
    [-5000, '0:00'],
    [3_600_000, '1:00:00'],
    [604_800_000, '168:00:00'],
  ]
  for (const [ms, text] of rows) t.equal(timeLeft(ms), text)
})

t.test('whether it has come to where it was sent', async (t) => {
  const is = (state: string, more: Partial<Upstream> = {}): Upstream => ({ ...running, state, ...more })
  const toDelete = { ...drained, drain: { ...drained.drain!, thenDelete: true } }
  const rows: [goal: Goal, upstream: Upstream, isReached: boolean | null, text?: string][] = [
    ['running', is('provisioning'), null],
    ['running', is('running'), true, 'is running at 10.0.0.5:8888'],
    [
      'running',
      is('running', { egressIp: '203.0.113.5' }),
      true,
      'is running at 10.0.0.5:8888, egress IP 203.0.113.5',
    ],
    ['running', is('failed', { problem: 'quota: raise it' }), false, 'has failed: quota: raise it'],
    ['running', is('failed'), false, 'has failed'],
    ['running', is('deleting'), false, 'is deleting, not running'],
    ['running', is('deleted', { problem: 'x' }), false, 'is deleted, not running: x'],
    ['running', draining, false, 'is draining, not running'],
    ['drained', draining, null],
    ['drained', drained, true, 'is drained'],
    ['drained', shut, true, 'is drained; its deadline closed 2 jobs, 1 tunnel'],
    ['drained', is('deleting'), true, 'is being deleted'],
    ['drained', is('deleted'), true, 'is deleted'],
    ['drained', is('running'), false, 'is running again: somebody cancelled its drain'],
    ['drained', is('failed', { problem: 'x' }), false, 'is failed, and its drain has ended: x'],
    ['deleted', is('deleted'), true, 'is deleted'],
    ['deleted', is('deleting'), null],
    ['deleted', draining, null],
    ['deleted', toDelete, null],
    [
      'deleted',
      drained,
      false,
      'is drained and stays so: somebody changed its drain, which ends in no deletion now',
    ],
    ['deleted', is('running'), false, 'is running again: somebody cancelled its deletion'],
  ]
  for (const [goal, upstream, isReached, text] of rows) {
    const wanted = isReached === null ? null : { isReached, text }
    t.strictSame(endOf(goal, upstream), wanted, `${goal}: ${upstream.state}`)
  }
})
