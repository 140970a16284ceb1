import t from 'tap'
import { makeAdmin } from '../../fixtures/admin.ts'
import { databaseAway, makeControl, syncReport } from '../../fixtures/admin-control.ts'

t.test('the last report', async (t) => {
  const corrected = [{ id: 'up-1', action: 'removed', detail: 'gone' }]
  const left = [{ id: 'up-2', detail: 'changed meanwhile' }]
  for (const outcome of ['done', 'incomplete', 'stopped', 'failed'] as const) {
    const report = syncReport({ outcome, problems: ['why'], corrected, left })
    const { app } = makeAdmin(t, { control: makeControl({ report }).control })
    const answer = await app.inject({ url: '/v1/sync' })
    t.equal(answer.statusCode, 200)
    t.match(answer.json(), { outcome, startedAt: '2026-01-01T00:00:00.000Z', corrected, left })
  }
})

t.test('before the first pass there is none, and what to do is said', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl().control })
  const answer = await app.inject({ url: '/v1/sync' })
  t.match(answer.json(), { status: 404, code: 'not_found', detail: /POST \/v1\/sync \(lanekeeper sync\)/ })
})

t.test('a pass is asked for, confirmed only where that is said', async (t) => {
  const { control, calls } = makeControl({ pass: 'p-1' })
  const { app } = makeAdmin(t, { control })
  const rows: [payload: object | undefined, confirm: boolean][] = [
    [undefined, false],
    [{}, false],
    [{ confirm: false }, false],
    [{ confirm: true }, true],
  ]
  for (const [payload, confirm] of rows) {
    const answer = await app.inject({ method: 'POST', url: '/v1/sync', ...(payload && { payload }) })
    t.equal(answer.statusCode, 202, JSON.stringify(payload))
    t.equal(answer.headers.location, '/v1/sync')
    t.strictSame(answer.json(), { pass: 'p-1' })
    t.match(calls.pop(), { verb: 'sync', given: [{ confirm }] })
  }
  for (const payload of [{ confirm: 'yes' }, { confirm: null }, { force: true }, [true]]) {
    const answer = await app.inject({ method: 'POST', url: '/v1/sync', payload })
    t.equal(answer.statusCode, 400, JSON.stringify(payload))
  }
  t.strictSame(calls, [])
})

t.test('a key asks for one pass', async (t) => {
  let refusal: unknown = null
  const { control, calls } = makeControl({ refuse: () => refusal })
  const { app } = makeAdmin(t, { control })
  const ask = (key: string, payload = {}) =>
    app.inject({ method: 'POST', url: '/v1/sync', payload, headers: { 'idempotency-key': key } })
  const [first, again, other] = [await ask('k'), await ask('k'), await ask('k', { confirm: true })]
  t.match(again, { statusCode: 202, body: first.body, headers: { location: '/v1/sync' } })
  t.match(other.json(), { status: 422, code: 'idempotency_mismatch' })
  t.equal(calls.length, 1)
  refusal = databaseAway()
  t.match((await ask('k2')).json(), { status: 503, code: 'database_unavailable' })
})
