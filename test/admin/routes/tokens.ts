import fc from 'fast-check'
import t, { type Test } from 'tap'
import { recordFacts } from '../../fixtures/facts.ts'
import { makeAdmin } from '../../fixtures/admin.ts'
import { makeControl } from '../../fixtures/admin-control.ts'
import { readIdentity } from '../../../src/routing/job.ts'

const nowMs = Date.UTC(2026, 0, 1) + 400
const keys = [
  { id: 'k2', secret: 'the new secret, of 32 characters' },
  { id: 'k1', secret: 'the old secret, of 32 characters' },
]

function setUp(t: Test, { keys: given = keys, token = null as string | null } = {}) {
  const facts = recordFacts()
  const { control, calls } = makeControl({ tokens: { keys: given, events: facts.events, now: () => nowMs } })
  const { app } = makeAdmin(t, { control, token })
  const mint = (payload: object, headers: { [name: string]: string } = {}) =>
    app.inject({ method: 'POST', url: '/v1/tokens', payload, headers })
  return { app, mint, calls, facts }
}

/** As a gateway with these keys would. */
function readAt(userinfo: string, atMs: number) {
  const basic = `Basic ${Buffer.from(userinfo).toString('base64')}`
  const jobTokens = { keys, nowMs: atMs }
  return readIdentity(['Proxy-Authorization', basic], { tokens: [], tokenRequired: true, jobTokens })
}

t.test('a token is made that gateways take, for its job and its time', async (t) => {
  const { mint, calls, facts } = setUp(t)
  const answer = await mint({ job: '42', type: 'payment', institution: 'bank-a', ttlMs: 60_000 })
  t.equal(answer.statusCode, 201)
  t.equal(answer.headers['cache-control'], 'no-store')
  t.equal(answer.headers['idempotency-replayed'], undefined)
  const { token, ...rest } = answer.json() as { token: string }
  t.strictSame(rest, {
    expiresAt: '2026-01-01T00:01:01.000Z',
    keyId: 'k2',
    proxyUser: 'job=42,type=payment,institution=bank-a',
  })
  const job = { id: '42', type: 'payment', institution: 'bank-a' }
  for (const user of ['', 'job=42,type=payment,institution=bank-a'])
    t.strictSame(readAt(`${user}:${token}`, nowMs + 60_000), { job, token: null, tokenKey: 'k2' }, user)
  t.throws(() => readAt(`:${token}`, Date.UTC(2026, 0, 1, 0, 1, 1)), { code: 'proxy_auth_required' })
  t.strictSame(calls, [], 'nothing in the fleet has changed')
  t.strictSame(facts.of('token_minted'), [{ job, keyId: 'k2', expiresAt: '2026-01-01T00:01:01.000Z' }])
  t.notMatch(JSON.stringify(facts.of('token_minted')), token)
})

t.test('it is good for an hour where nothing else is said, for 30 days at most', async (t) => {
  const { mint } = setUp(t)
  t.match((await mint({ job: '42' })).json(), { expiresAt: '2026-01-01T01:00:01.000Z', proxyUser: 'job=42' })
  t.match((await mint({ job: '42', ttlMs: 2_592_000_000 })).json(), { expiresAt: '2026-01-31T00:00:01.000Z' })
  t.match((await mint({ job: '42', ttlMs: 1000 })).json(), { expiresAt: '2026-01-01T00:00:02.000Z' })
})

t.test('the user of the proxy URL is one that every client can send, or none', async (t) => {
  const { mint } = setUp(t)
  for (const [job, proxyUser] of [
    ['a.b_c~d+e-f', 'job=a.b_c~d+e-f'],
    ['a@b', 'job=a%40b'],
    ['a:b', ''],
  ] as const)
    t.equal((await mint({ job })).json().proxyUser, proxyUser, job)
})

t.test('each is made anew: a key for repeating counts for nothing', async (t) => {
  const { mint, facts } = setUp(t)
  const headers = { 'idempotency-key': 'k' }
  t.equal((await mint({ job: '42' }, headers)).statusCode, 201)
  t.match((await mint({ job: '43' }, headers)).json(), { proxyUser: 'job=43' })
  t.equal(facts.of('token_minted').length, 2)
})

t.test('what it cannot be made of is told', async (t) => {
  const { mint, app, facts } = setUp(t)
  const rows: [body: object, detail: RegExp][] = [
    [{}, /^Field "job" is missing; it must be a job id/],
    [{ job: '' }, /^Field "job" must be a job id/],
    [{ job: 'a b' }, /^Field "job"/],
    [{ job: 'a\n' }, /^Field "job"/],
    [{ job: 42 }, /^Field "job"/],
    [{ job: 'a'.repeat(129) }, /^Field "job"/],
    [{ job: '42', type: '*' }, /^Field "type" must be 1 to 64 letters/],
    [{ job: '42', type: null }, /^Field "type"/],
    [{ job: '42', institution: 'a:b' }, /^Field "institution" must be 1 to 64/],
    [
      { job: '42', ttlMs: 999 },
      /^Field "ttlMs" must be milliseconds, a whole number from 1000 to 2592000000/,
    ],
    [{ job: '42', ttlMs: 2_592_000_001 }, /^Field "ttlMs"/],
    [{ job: '42', ttlMs: 1000.5 }, /^Field "ttlMs"/],
    [{ job: '42', ttlMs: '2h' }, /^Field "ttlMs"/],
    [{ job: '42', ttl: 1 }, /^Field "ttl" is not known here; known are job, type, institution, ttlMs/],
  ]
  for (const [body, detail] of rows) {
    const answer = await mint(body)
    t.equal(answer.statusCode, 400, JSON.stringify(body))
    t.match(answer.json(), { code: 'bad_request', detail })
  }
  t.equal(
    (await app.inject({ method: 'POST', url: '/v1/tokens?reason=x', payload: { job: '42' } })).statusCode,
    400,
  )
  t.equal((await app.inject({ url: '/v1/tokens' })).statusCode, 405, 'none can be looked up')
  t.strictSame(facts.of('token_minted'), [])
})

t.test('without a key it says what to set', async (t) => {
  const { mint, facts } = setUp(t, { keys: [] })
  const answer = await mint({ job: '42' })
  t.equal(answer.statusCode, 409)
  t.match(answer.json(), { code: 'conflict', detail: /gateway\.tokenKeys \(GATEWAY_TOKEN_KEYS=/ })
  t.strictSame(facts.of('token_minted'), [])
})

t.test('only who may change something is given one', async (t) => {
  const { mint, facts } = setUp(t, { token: 's3cret' })
  t.equal((await mint({ job: '42' })).statusCode, 401)
  t.strictSame(facts.of('token_minted'), [])
  t.equal((await mint({ job: '42' }, { authorization: 'Bearer s3cret' })).statusCode, 201)
})

t.test('user and token, put into a proxy URL as they are, name the job', async (t) => {
  const { mint } = setUp(t)
  const id = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~:@+-]{0,127}$/)
  const word = fc.option(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,63}$/))
  await fc.assert(
    fc.asyncProperty(id, word, word, async (id, type, institution) => {
      const answer = await mint({ job: id, ...(type && { type }), ...(institution && { institution }) })
      const { token, proxyUser } = answer.json() as { token: string; proxyUser: string }
      const { username, password, hostname } = new URL(`http://${proxyUser}:${token}@gateway:3128`)
      // Most clients decode it, axios does not.
      for (const user of [decodeURIComponent(username), username]) {
        const { job } = readAt(`${user}:${password}`, nowMs)
        if (job.id !== id || job.type !== type || job.institution !== institution) return false
      }
      return hostname === 'gateway'
    }),
    { numRuns: 100 },
  )
})
