import t from 'tap'
import { ControlError } from '../../../src/errors.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { fleetSize, makeControl } from '../../fixtures/admin-control.ts'

const size = fleetSize({ wanted: 5, quarantined: 1 })
const shape = { ...size, version: 7 }

t.test('how large it is, and should be', async (t) => {
  const { app } = makeAdmin(t, { control: makeControl({ size }).control })
  const answer = await app.inject({ url: '/v1/fleet' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), shape)
})

t.test('another size is asked for, and has only begun with the answer', async (t) => {
  const { control, calls } = makeControl({ size })
  const { app } = makeAdmin(t, { control })
  for (const wanted of [5, 0, 10_000, null]) {
    const url = '/v1/fleet?reason=payday'
    const answer = await app.inject({
      method: 'PUT',
      url,
      payload: { wanted },
      headers: { 'x-actor': 'alice' },
    })
    t.equal(answer.statusCode, 202)
    t.equal(answer.headers.location, '/v1/fleet')
    t.strictSame(answer.json(), shape)
    const author = { actor: 'admin:alice', reason: 'payday' }
    t.strictSame(calls.pop(), { verb: 'resize', given: [wanted], author, keeps: false })
  }
})

t.test('what is no size is refused', async (t) => {
  const { control, calls } = makeControl()
  const { app } = makeAdmin(t, { control })
  for (const payload of [{ wanted: -1 }, { wanted: 10_001 }, { wanted: 1.5 }, { wanted: '5' }]) {
    const answer = await app.inject({ method: 'PUT', url: '/v1/fleet', payload })
    t.equal(answer.statusCode, 400, JSON.stringify(payload))
    t.equal(answer.json().detail, 'Field "wanted" must be a whole number from 0 to 10000; or null.')
  }
  t.equal((await app.inject({ method: 'PUT', url: '/v1/fleet', payload: {} })).statusCode, 400)
  t.strictSame(calls, [])
})

t.test('a key acts once, and is told of another request', async (t) => {
  const { control, calls } = makeControl({ size })
  const { app } = makeAdmin(t, { control })
  const resize = (wanted: number) =>
    app.inject({
      method: 'PUT',
      url: '/v1/fleet',
      payload: { wanted },
      headers: { 'idempotency-key': 'k' },
    })
  const [first, again, other] = [await resize(5), await resize(5), await resize(6)]
  t.equal(first.statusCode, 202)
  t.match(again, { statusCode: 202, body: first.body, headers: { location: '/v1/fleet' } })
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.match(other.json(), { status: 422, code: 'idempotency_mismatch' })
  t.match(calls, [{ verb: 'resize', keeps: true }])
  t.equal(calls.length, 1)
})

t.test('a provider that makes no machines is told', async (t) => {
  const refuse = () => new ControlError('conflict', 'Provider static makes no machines.')
  const { app } = makeAdmin(t, { control: makeControl({ refuse }).control })
  const answer = await app.inject({ method: 'PUT', url: '/v1/fleet', payload: { wanted: 3 } })
  t.match(answer.json(), { status: 409, code: 'conflict', detail: /makes no machines/ })
})
