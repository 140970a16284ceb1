import t from 'tap'
import { makeAdmin } from '../../fixtures/admin.ts'

t.test('healthz says that the process lives, ready or not', async (t) => {
  const { app } = makeAdmin(t, { health: { missing: () => ['no fleet is loaded yet'] } })
  const answer = await app.inject({ url: '/healthz' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), { status: 'ok' })
})

t.test('readyz says what is missing, each time anew', async (t) => {
  let missing = ['no fleet is loaded yet', 'the store of pins does not answer']
  const { app } = makeAdmin(t, { health: { missing: () => missing } })
  const before = await app.inject({ url: '/readyz' })
  t.equal(before.statusCode, 503)
  t.strictSame(before.json(), { ready: false, missing })
  missing = []
  const after = await app.inject({ url: '/readyz' })
  t.equal(after.statusCode, 200)
  t.strictSame(after.json(), { ready: true, missing: [] })
})

t.test('what keeps no job from being served is told beside, and leaves it ready', async (t) => {
  const { app } = makeAdmin(t, { health: { missing: () => [], impaired: () => ['PostgreSQL is away'] } })
  const answer = await app.inject({ url: '/readyz' })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.json(), { ready: true, missing: [], impaired: ['PostgreSQL is away'] })
})
