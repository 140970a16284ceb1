import t from 'tap'
import { ControlError } from '../../../src/errors.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { makeControl, upstreamRecord } from '../../fixtures/admin-control.ts'

const old = upstreamRecord({ id: 'up-1', replacedBy: 'up-2' })
const load = async () => ({ pins: new Map([['up-1', 3]]), tunnels: new Map() })

type Row = {
  readonly method: 'POST' | 'DELETE'
  readonly url: string
  readonly payload?: object
  readonly verb: string
  readonly given: readonly unknown[]
  readonly status: 200 | 202
  readonly location?: string
}
const at = '/v1/upstreams/up-1'
const done = { method: 'POST', status: 200, given: ['up-1'] } as const
const begun = { method: 'POST', status: 202, location: at } as const
const removed = { ...begun, method: 'DELETE', verb: 'remove' } as const

const rows: Row[] = [
  { ...done, url: `${at}/quarantine`, verb: 'quarantine' },
  { ...done, url: `${at}/release`, verb: 'release' },
  { ...done, url: `${at}/cancel`, verb: 'cancel' },
  { ...begun, url: `${at}/drain`, verb: 'drain', given: ['up-1', { deadlineMs: null }] },
  { ...begun, url: `${at}/drain`, payload: {}, verb: 'drain', given: ['up-1', { deadlineMs: null }] },
  {
    ...begun,
    url: `${at}/drain`,
    payload: { deadlineMs: 0 },
    verb: 'drain',
    given: ['up-1', { deadlineMs: 0 }],
  },
  { ...begun, url: `${at}/recycle`, verb: 'recycle', given: ['up-1'], location: '/v1/upstreams/up-2' },
  { ...removed, url: at, given: ['up-1', { force: false, deadlineMs: null }] },
  { ...removed, url: `${at}?force=false`, given: ['up-1', { force: false, deadlineMs: null }] },
  {
    ...removed,
    url: `${at}?force=true&deadlineMs=900000`,
    given: ['up-1', { force: true, deadlineMs: 900_000 }],
  },
]

t.test('each verb is handed what was said, and answers the upstream', async (t) => {
  const { control, calls } = makeControl({ upstream: old, load })
  const { app } = makeAdmin(t, { control })
  for (const { method, url, payload, verb, given, status, location } of rows) {
    const named = `${url}${url.includes('?') ? '&' : '?'}reason=because`
    const headers = { 'x-actor': 'alice' }
    const answer = await app.inject({ method, url: named, headers, ...(payload && { payload }) })
    t.equal(answer.statusCode, status, named)
    t.equal(answer.headers.location, location, named)
    t.match(answer.json(), { id: 'up-1', pins: 3, replacedBy: 'up-2', version: 7 })
    const author = { actor: 'admin:alice', reason: 'because' }
    t.strictSame(calls.pop(), { verb, given, author, keeps: false })
  }
})

t.test('repeated with its key each is done once, and answered the same', async (t) => {
  for (const { method, url, payload, status, verb } of rows) {
    const { control, calls } = makeControl({ upstream: old })
    const { app } = makeAdmin(t, { control })
    const ask = (more = '') =>
      app.inject({
        method,
        url: `${url}${more}`,
        headers: { 'idempotency-key': 'k' },
        ...(payload && { payload }),
      })
    const [first, again] = [await ask(), await ask()]
    t.equal(again.statusCode, status, url)
    t.equal(again.body, first.body)
    t.equal(again.headers.location, first.headers.location)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.match(calls, [{ verb, keeps: true }])
    t.equal(calls.length, 1)
    const other = await ask(url.includes('?') ? '&reason=b' : '?reason=b')
    t.match(other.json(), { status: 422, code: 'idempotency_mismatch' }, url)
  }
})

t.test('what a verb refuses is told', async (t) => {
  for (const code of ['not_found', 'conflict'] as const) {
    const refuse = () => new ControlError(code, 'It is being deleted.')
    const { app } = makeAdmin(t, { control: makeControl({ refuse }).control })
    for (const { method, url } of rows) {
      const answer = await app.inject({ method, url })
      t.equal(answer.statusCode, code === 'conflict' ? 409 : 404, url)
      t.match(answer.json(), { code, detail: 'It is being deleted.' })
    }
  }
})

t.test('what cannot be understood comes to no verb', async (t) => {
  const { control, calls } = makeControl()
  const { app } = makeAdmin(t, { control })
  const refused: [method: 'POST' | 'DELETE', url: string, payload?: object][] = [
    ['POST', `${at}/drain`, { deadlineMs: '900000' }],
    ['POST', `${at}/drain`, { deadlineMs: 604_800_001 }],
    ['POST', `${at}/drain`, { deadlineMs: null }],
    ['POST', `${at}/drain`, { force: true }],
    ['POST', `${at}/drain`, []],
    ['POST', `${at}/drain?deadlineMs=1`],
    ['POST', `${at}/cancel`, { deadlineMs: 1 }],
    ['POST', `${at}/recycle`, { zone: 'eu-1' }],
    ['POST', '/v1/upstreams/-/drain'],
    ['DELETE', `${at}?deadlineMs=-1`],
    ['DELETE', `${at}?deadlineMs=604800001`],
    ['DELETE', `${at}?force=yes`],
    ['DELETE', at, { force: true }],
  ]
  for (const [method, url, payload] of refused) {
    const answer = await app.inject({ method, url, ...(payload && { payload }) })
    t.equal(answer.statusCode, 400, `${method} ${url} ${JSON.stringify(payload)}`)
  }
  t.strictSame(calls, [])
})
