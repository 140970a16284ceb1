import { once } from 'node:events'
import t from 'tap'
import { makeResolver, type Address, type Lookup } from '../../src/gateway/resolver.ts'
import { makeFakeClock } from '../fixtures/clock.ts'
import { socketPair } from '../fixtures/socket-pair.ts'
import { stall } from '../fixtures/stall.ts'

function setUp(lookup: Lookup, timeoutMs = 60_000) {
  const clock = makeFakeClock()
  const asked: string[] = []
  const resolver = makeResolver({
    timeoutMs,
    now: clock.now,
    lookup: (host, signal) => {
      asked.push(host)
      return lookup(host, signal)
    },
  })
  return { clock, asked, resolver }
}

const one = (ttlMs: number, address = '192.0.2.1'): Address[] => [{ address, ttlMs }]
const failing = (code: string) => async () => {
  throw Object.assign(new Error(`query ${code}`), { code })
}

t.test('an address literal is its own answer, and nobody is asked', async (t) => {
  const { resolver, asked } = setUp(async () => one(1000))
  t.same(await resolver.resolve('198.51.100.7'), ['198.51.100.7'])
  t.same(await resolver.resolve('2001:db8::1'), ['2001:db8::1'])
  t.same(asked, [])
})

t.test('addresses keep the order of the look-up', async (t) => {
  const { resolver } = setUp(async () => [...one(5000, '192.0.2.9'), ...one(5000, '192.0.2.1')])
  t.same(await resolver.resolve('example.com'), ['192.0.2.9', '192.0.2.1'])
})

t.test('answers are kept for as long as DNS says, within bounds', async (t) => {
  const rows = [
    { name: 'as said', ttlsMs: [20_000], keptMs: 20_000 },
    { name: 'the shortest of several', ttlsMs: [20_000, 5000, 60_000], keptMs: 5000 },
    { name: 'a second at least', ttlsMs: [0], keptMs: 1000 },
    { name: 'five minutes at most', ttlsMs: [86_400_000], keptMs: 300_000 },
  ]
  for (const { name, ttlsMs, keptMs } of rows) {
    t.test(name, async (t) => {
      const { resolver, asked, clock } = setUp(async () => ttlsMs.flatMap((ttlMs) => one(ttlMs)))
      await resolver.resolve('example.com')
      clock.advance(keptMs - 1)
      await resolver.resolve('example.com')
      t.equal(asked.length, 1)
      clock.advance(1)
      await resolver.resolve('example.com')
      t.equal(asked.length, 2)
    })
  }
})

t.test('requests for one name at one time share a look-up; other names have their own', async (t) => {
  const { resolver, asked } = setUp(async (host) =>
    one(60_000, host === 'a.test' ? '192.0.2.1' : '192.0.2.2'),
  )
  const answers = await Promise.all(['a.test', 'a.test', 'b.test'].map((host) => resolver.resolve(host)))
  t.same(answers, [['192.0.2.1'], ['192.0.2.1'], ['192.0.2.2']])
  t.same(asked, ['a.test', 'b.test'])
})

t.test('a failure is shared by those who wait, and never kept', async (t) => {
  let fails = true
  const { resolver, asked } = setUp(async () => {
    if (fails) return failing('ESERVFAIL')()
    return one(60_000)
  })
  const both = await Promise.allSettled([resolver.resolve('example.com'), resolver.resolve('example.com')])
  t.same(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  t.equal(asked.length, 1)
  fails = false
  t.same(await resolver.resolve('example.com'), ['192.0.2.1'])
})

t.test('an answer that has grown old is not used when the next look-up fails', async (t) => {
  let fails = false
  const { resolver, clock } = setUp(async () => (fails ? failing('ESERVFAIL')() : one(1000)))
  await resolver.resolve('example.com')
  fails = true
  clock.advance(1000)
  await t.rejects(resolver.resolve('example.com'), { code: 'target_failed' })
})

t.test('of a long answer the first 16 addresses count', async (t) => {
  const all = Array.from({ length: 512 }, (_, index) => `192.0.2.${index % 256}`)
  const { resolver } = setUp(async () => all.map((address) => ({ address, ttlMs: 1000 })))
  t.same(await resolver.resolve('example.com'), all.slice(0, 16))
})

t.test('what the client is told', async (t) => {
  const failed = { code: 'target_failed', status: 502, token: 'dns_error' }
  const late = { code: 'target_timeout', status: 504, token: 'dns_timeout' }
  const answered = (rcode: string) => ({ ...failed, fields: { rcode } })
  const rows: [name: string, lookup: Lookup, told: typeof failed][] = [
    ['an unknown name', failing('ENOTFOUND'), answered('NXDOMAIN')],
    ['a name server that fails', failing('ESERVFAIL'), answered('SERVFAIL')],
    ['a name server that refuses', failing('EREFUSED'), answered('REFUSED')],
    ['a name without records', failing('ENODATA'), answered('NOERROR')],
    ['a name without address', async () => [], answered('NOERROR')],
    ['no name server', failing('ECONNREFUSED'), { ...failed, fields: { rcode: undefined } } as typeof failed],
    ['a name server that is silent', failing('ETIMEOUT'), late],
    ['a look-up cut off', failing('ECANCELLED'), late],
  ]
  for (const [name, lookup, told] of rows) {
    const { resolver } = setUp(lookup)
    await t.rejects(resolver.resolve('bank.test'), { ...told, message: /bank\.test/ }, name)
  }
})

t.test('of what broke, the client is not told the words', async (t) => {
  const { resolver } = setUp(async () => {
    throw new Error('cannot read /etc/secret')
  })
  const error: unknown = await resolver.resolve('bank.test').catch((error: unknown) => error)
  t.match(error, { code: 'target_failed', fields: { detail: /bank\.test/ } })
  t.notMatch((error as Error).message, 'secret')
})

t.test('so many look-ups at one time, and no more', async (t) => {
  const answers: (() => void)[] = []
  const { resolver, asked } = setUp(() => new Promise((resolve) => answers.push(() => resolve(one(60_000)))))
  const asking = Array.from({ length: 1000 }, (_, index) => resolver.resolve(`${index}.test`))
  await t.rejects(resolver.resolve('one-more.test'), { code: 'overloaded', status: 503 })
  const shared = resolver.resolve('7.test')
  t.equal(asked.length, 1000, 'one that is under way already is shared')
  for (const answer of answers) answer()
  await Promise.all([...asking, shared])
  const late = resolver.resolve('one-more.test')
  answers.at(-1)!()
  t.same(await late, ['192.0.2.1'], 'afterwards there is room')
})

t.test(
  'one job cannot take all look-ups: it may have a hundred, whether it waits for them or not',
  async (t) => {
    const { resolver } = setUp(() => new Promise(() => {}))
    const gone = AbortSignal.abort()
    for (let index = 0; index < 100; index++)
      void resolver.resolve(`${index}.test`, { jobId: 'a', signal: gone })
    await t.rejects(resolver.resolve('more.test', { jobId: 'a' }), { code: 'rate_limited', status: 429 })
    void resolver.resolve('7.test', { jobId: 'a' })
    const other = resolver.resolve('more.test', { jobId: 'b' })
    t.equal(await Promise.race([other, 'it waits']), 'it waits')
  },
)

t.test('where all places are taken, one that nobody waits for makes room', async (t) => {
  const signals: AbortSignal[] = []
  const { resolver, asked } = setUp((host, signal) => {
    signals.push(signal)
    return host === 'new.test' ? Promise.resolve(one(1000)) : new Promise(() => {})
  })
  const leaving = new AbortController()
  const waits = Array.from({ length: 999 }, (_, index) => resolver.resolve(`${index}.test`))
  const left = resolver.resolve('left.test', { jobId: 'a', signal: leaving.signal })
  await t.rejects(resolver.resolve('new.test'), { code: 'overloaded' })
  leaving.abort()
  t.same(await resolver.resolve('new.test'), ['192.0.2.1'])
  await t.rejects(left, { code: 'target_timeout' })
  t.same([asked.length, signals.filter(({ aborted }) => aborted).length], [1001, 1])
  t.equal(await Promise.race([...waits, 'they wait']), 'they wait')
})

t.test('a look-up that takes too long is given up, and told so', async (t) => {
  let signal: AbortSignal | undefined
  const { resolver, asked } = setUp((_, its) => {
    signal = its
    return new Promise(() => {})
  }, 20)
  // The limit's own timer does not keep the process alive; a gateway's listener does.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))
  await t.rejects(resolver.resolve('example.com'), { code: 'target_timeout', status: 504 })
  t.ok(signal?.aborted)
  await t.rejects(resolver.resolve('example.com'), { code: 'target_timeout' })
  t.equal(asked.length, 2, 'not kept')
})

t.test('an answer that came while this process stood still is not missing (fault 40)', async (t) => {
  const { near, far, close } = await socketPair()
  t.teardown(close)
  const { resolver } = setUp(async () => {
    await once(near.resume(), 'data')
    return one(5000)
  }, 50)
  const resolved = resolver.resolve('example.com')
  far.write('an answer')
  stall(300)
  t.same(await resolved, ['192.0.2.1'])
})
