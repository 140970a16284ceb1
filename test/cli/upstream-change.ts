import t from 'tap'
import { upstreamChange } from '../../src/cli/upstream-change.ts'

const deadlineMs = Date.UTC(2026, 0, 1)
const drain = { sinceMs: 0, deadlineMs, thenDelete: false, by: 'operator', drainedAtMs: null, shut: null }
const until = 'until 2026-01-01T00:00:00.000Z at the latest'

t.test('a change of an upstream is a sentence', async (t) => {
  const rows: [from: object, to: object, wanted: string][] = [
    [{ state: 'provisioning' }, { state: 'running' }, 'upstream up-1 is running'],
    [
      { state: 'provisioning' },
      { state: 'failed', problem: 'quota: raise it' },
      'upstream up-1 is failed, problem of upstream up-1: quota: raise it',
    ],
    [
      { state: 'running', drain: null },
      { state: 'draining', drain },
      `began to drain upstream up-1, ${until}`,
    ],
    [
      { state: 'running', drain: null },
      { state: 'draining', drain: { ...drain, thenDelete: true } },
      `began to drain upstream up-1, ${until}, then to delete it`,
    ],
    [
      { state: 'draining', drain: { ...drain, deadlineMs: 1 } },
      { state: 'draining', drain },
      `changed the drain of upstream up-1: ${until}`,
    ],
    [{ state: 'draining', drain }, { state: 'running', drain: null }, 'cancelled the drain of upstream up-1'],
    [{ drain }, { drain: { ...drain, drainedAtMs: 1 } }, 'upstream up-1 is drained'],
    [
      { drain },
      { drain: { ...drain, drainedAtMs: 1, shut: { atMs: 1, pins: 3, tunnels: 1 } } },
      'upstream up-1 is drained; its deadline closed 3 pins and 1 tunnel',
    ],
    [
      { state: 'draining', drain: { ...drain, drainedAtMs: 1 }, requestId: null },
      { state: 'deleting', drain: { ...drain, drainedAtMs: 1 }, requestId: 'a-uuid' },
      'upstream up-1 is deleting',
    ],
    [{ replacedBy: null }, { replacedBy: 'up-2' }, 'ordered up-2 in place of upstream up-1'],
    [
      { replacedBy: 'up-2', problem: null },
      { replacedBy: null, problem: 'it did not come up' },
      'upstream up-1 is not to be replaced any more, problem of upstream up-1: it did not come up',
    ],
    [{ problem: 'x' }, { problem: null }, 'upstream up-1 has no problem any more'],
    [
      { ejected: false, ejections: 0, ejectedUntilMs: null },
      { ejected: true, ejections: 1, ejectedUntilMs: 5 },
      'ejected upstream up-1',
    ],
    [{ host: '', port: 1 }, { host: '10.0.0.5', port: 8888 }, 'upstream up-1 is made, at 10.0.0.5'],
    [{ host: 'a', port: 1 }, { host: 'a', port: 2 }, 'changed port of upstream up-1 from 1 to 2'],
    [{ attempts: 1 }, { attempts: 2 }, 'changed attempts of upstream up-1 from 1 to 2'],
    [
      { attempts: 0, retryAtMs: null, problem: null, quarantined: false },
      { attempts: 0, retryAtMs: null, problem: null, quarantined: true },
      'quarantined upstream up-1',
    ],
    [{ name: 'a' }, { name: 'a' }, 'changed name of upstream up-1 from a to a'],
    [{}, {}, ''],
  ]
  for (const [from, to, wanted] of rows) t.equal(upstreamChange('up-1', from, to), wanted, wanted)
})

t.test('what is not as it is today is for the caller', async (t) => {
  t.throws(() => upstreamChange('up-1', {}, null))
  t.throws(() => upstreamChange('up-1', {}, { drain: { deadlineMs: 'soon' } }))
})
