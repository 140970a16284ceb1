import t from 'tap'
import type { Api } from '../../src/cli/api.ts'
import type { Upstream } from '../../src/cli/shapes.ts'
import {
  replacementEnd,
  until,
  untilReplaced,
  waitForUpstreams,
  type Watch,
} from '../../src/cli/wait-upstreams.ts'
import { makeQuickClock } from '../fixtures/command-line.ts'

const upstream = (id: string, said: Partial<Upstream> = {}): Upstream => ({
  id,
  name: id,
  state: 'running',
  host: '10.0.0.5',
  port: 8888,
  egressIp: null,
  labels: {},
  ejected: false,
  quarantined: false,
  pins: 0,
  tunnels: 0,
  ...said,
})

/** Each look at an upstream finds it in the next of its states, and then in the last one again. */
function setUp(watch: Watch, lives: { readonly [id: string]: readonly Partial<Upstream>[] }) {
  const asked: string[] = []
  const shown: string[] = []
  const api = {
    get: async (path: string) => {
      const id = path.replace('/v1/upstreams/', '')
      const looks = asked.filter((one) => one === id).length
      asked.push(id)
      const life = lives[id]!
      return upstream(id, life[Math.min(looks, life.length - 1)])
    },
  } as Pick<Api, 'get'>
  const wait = (ids: readonly string[], withinMs: number | null = null) =>
    waitForUpstreams(api, ids, watch, {
      show: (lines) => shown.push(lines.map(({ subject, text }) => `${subject} ${text}`).join(' | ')),
      clock: makeQuickClock(),
      withinMs,
    })
  return { wait, asked, shown }
}

t.test('each is looked at until its own end, and shown until the last one', async (t) => {
  const { wait, asked, shown } = setUp(until('deleted'), {
    a: [{ state: 'deleting' }, { state: 'deleted' }],
    b: [{ state: 'deleting' }, { state: 'deleting' }, { state: 'deleted' }],
  })
  const ended = await wait(['a', 'b'])
  t.strictSame(
    ended.map(({ upstream: { id, state }, end }) => [id, state, end.isReached]),
    [
      ['a', 'deleted', true],
      ['b', 'deleted', true],
    ],
  )
  t.strictSame(asked, ['a', 'b', 'a', 'b', 'b'], 'what has ended is not asked for again')
  t.strictSame(shown, ['a deleting | b deleting', 'a deleted | b deleting', 'a deleted | b deleted'])
})

t.test('one that goes astray does not end the waiting for the others', async (t) => {
  const { wait } = setUp(until('running'), {
    a: [{ state: 'failed', problem: 'quota: raise it' }],
    b: [{ state: 'provisioning' }, { state: 'running' }],
  })
  t.match(await wait(['a', 'b']), [
    { upstream: { id: 'a' }, end: { isReached: false, text: /quota/ } },
    { upstream: { id: 'b' }, end: { isReached: true } },
  ])
})

t.test('where the time is over first, those that have ended are told', async (t) => {
  const { wait } = setUp(until('deleted'), { a: [{ state: 'deleted' }], b: [{ state: 'deleting' }] })
  t.match(await wait(['b', 'a'], 3000), [{ upstream: { id: 'a' } }])
})

t.test('a replacement: the new one runs, then the old one goes', async (t) => {
  const old = { replacedBy: 'new' }
  const { wait, shown } = setUp(untilReplaced, {
    old: [old, old, { ...old, state: 'draining' }, { ...old, state: 'deleted' }],
    new: [{ state: 'provisioning' }, { state: 'running' }],
  })
  t.match(await wait(['old']), [
    {
      upstream: { id: 'old', state: 'deleted' },
      end: { isReached: true, text: 'is deleted; new is running at 10.0.0.5:8888' },
    },
  ])
  t.strictSame(shown, [
    'new provisioning: waiting for good probes | old running',
    'new running | old running',
    'new running | old draining',
    'new running | old deleted',
  ])
})

t.test('how a replacement ends', async (t) => {
  const old = upstream('old', { replacedBy: 'new' })
  const fresh = (said: Partial<Upstream> = {}) => upstream('new', said)
  const failed = fresh({ state: 'failed', problem: 'quota: raise it' })
  const rows: [name: string, old: Upstream, fresh: Upstream | null, wanted: object | null][] = [
    ['the new one is being made', old, fresh({ state: 'provisioning' }), null],
    ['the old one is still there', old, fresh(), null],
    ['the old one drains', upstream('old', { state: 'draining' }), fresh(), null],
    [
      'the new one failed',
      old,
      failed,
      { isReached: false, text: 'is not replaced: new has failed: quota: raise it' },
    ],
    ['somebody cancelled it', old, null, { isReached: false, text: 'is not being replaced any more' }],
    [
      'control gave it up',
      upstream('old', { problem: '"new" did not come up' }),
      null,
      { isReached: false, text: 'is not being replaced any more: "new" did not come up' },
    ],
    [
      'the old one went by itself first',
      upstream('old', { state: 'deleted' }),
      fresh({ state: 'provisioning' }),
      null,
    ],
    [
      'and then the new one failed',
      upstream('old', { state: 'deleted' }),
      failed,
      { isReached: false, text: 'is deleted; new has failed: quota: raise it' },
    ],
  ]
  for (const [name, before, after, wanted] of rows) t.strictSame(replacementEnd(before, after), wanted, name)
})
