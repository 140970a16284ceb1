// What Redis may lose or refuse, one job at a time (faults 6 to 13): no job changes its upstream on any gateway, none lands
// where it must not, and who cannot be served is told at once (design 13.1, 13.3, 13.4). The same under load is in
// test/faults/redis-*.ts.

import t, { type Test } from 'tap'
import { rendezvousOrder } from '../../src/routing/rendezvous.ts'
import { startFaultProxy } from '../fixtures/fault-proxy.ts'
import { holdTunnel } from '../fixtures/held-tunnel.ts'
import { ask, startRedisWorld, upstreamIds, type RedisWorld } from '../fixtures/redis-world.ts'
import { redisFor } from '../fixtures/redis-under-test.ts'
import { startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'
import { makeUpstream } from '../fixtures/upstream.ts'

type Jobs = ReadonlyMap<string, string>

/** Each is made by one gateway only, in turn, and has had its first tunnel as far as the others know. */
async function makeJobs({ gateways, raw, keys }: RedisWorld, count: number, name = 'j'): Promise<Jobs> {
  const jobs = new Map<string, string>()
  for (let n = 0; n < count; n++) {
    const { status, code, upstream } = await ask(gateways[n % gateways.length]!, `${name}-${n}`)
    if (upstream === null) throw new Error(`${name}-${n} was answered ${status} ${code}`)
    jobs.set(`${name}-${n}`, upstream)
  }
  await until('Redis knows of their first tunnels', async () => {
    const records = await raw.hmget(keys.pins, ...jobs.keys())
    return records.every((record) => record !== null && !record.includes('"by"'))
  })
  for (const { gateway } of gateways)
    await until('all gateways know them', () =>
      [...jobs.keys()].every((job) => gateway.known.get(job)?.standing === 'used'),
    )
  return jobs
}

async function standEverywhere(t: Test, { gateways }: RedisWorld, jobs: Jobs, when: string): Promise<void> {
  for (const [index, gateway] of gateways.entries()) {
    const answers = await Promise.all([...jobs.keys()].map((job) => ask(gateway, job)))
    const found = answers.map(({ status, code, upstream }) => upstream ?? `${status} ${code}`)
    t.strictSame(found, [...jobs.values()], `gateway ${index + 1} has them where they were ${when}`)
  }
}

async function storedAgain(t: Test, { stored, raw, keys }: RedisWorld, jobs: Jobs): Promise<void> {
  await until('Redis has all pins again', async () => {
    const pins = await stored()
    return [...jobs.keys()].every((job) => pins.has(job))
  })
  const pins = await stored()
  t.strictSame(new Map([...jobs.keys()].map((job) => [job, pins.get(job)])), jobs, 'Redis has them so too')
  const counts = Object.entries(await raw.hgetall(keys.counts)).map(([id, count]) => [id, Number(count)])
  const wanted = upstreamIds
    .map((id) => [id, [...pins.values()].filter((one) => one === id).length])
    .filter(([, count]) => count !== 0)
  t.strictSame(counts.toSorted(), wanted, 'and counts them')
}

/** A job that nobody knows. */
async function refusedAtOnce(t: Test, { gateways }: RedisWorld, name: string): Promise<void> {
  for (const [index, gateway] of gateways.entries()) {
    const { status, code, retryAfter, tookMs } = await ask(gateway, `${name}-${index}`)
    t.match({ status, code, retryAfter }, { status: 503, code: 'store_unavailable', retryAfter: /^\d+$/ })
    t.ok(tookMs < 1000, `and told so in ${Math.round(tookMs)} ms`)
  }
}

t.test('FLUSHALL, and nobody is disconnected: pins are back before anything is decided', async (t) => {
  const world = await startRedisWorld(t)
  const { raw, gateways, stored } = world
  const jobs = await makeJobs(world, 12)

  await t.test('a new job comes first', async (t) => {
    await raw.flushall()
    const { status } = await ask(gateways[1]!, 'new')
    const pins = await stored()
    t.equal(status, 200)
    for (const [job, upstream] of jobs) t.equal(pins.get(job), upstream, `${job} was there before it`)
    await standEverywhere(t, world, jobs, 'before the flush')
  })

  // A gateway that believed an emptied store would give it the first of a new ring: at most one of three is there anyway.
  for (const [job, upstream] of [...jobs].slice(0, 3)) {
    const at = gateways.findIndex(({ gateway }) => gateway.known.get(job)!.trustedUntilMs > 0) === 0 ? 1 : 0
    const number = Number(job.slice(2))
    await t.test(`a job on ${upstream} comes first, to a gateway that only heard of it`, async (t) => {
      const fresh = await makeJobs(world, 2, `k${number}`)
      const [followed, where] = [...fresh][1 - at]!
      t.equal(gateways[at]!.gateway.known.get(followed)!.trustedUntilMs, -Infinity)
      await raw.flushall()
      t.equal((await ask(gateways[at]!, followed)).upstream, where)
      await storedAgain(t, world, new Map([...jobs, ...fresh]))
    })
  }
  await standEverywhere(t, world, jobs, 'before all flushes')
})

t.test('Redis is restarted empty: known jobs go on meanwhile, and all is as before', async (t) => {
  const redis = await startRedis()
  t.teardown(redis.stop)
  const world = await startRedisWorld(t, { redis })
  const jobs = await makeJobs(world, 9)
  const tunnel = await holdTunnel(world.gateways[0]!, { target: 'localhost:443', userinfo: 'j-0:x' })
  t.teardown(tunnel.close)

  await redis.stop()
  await Promise.all(world.gateways.map(({ gateway }) => gateway.beat()))
  await standEverywhere(t, world, jobs, 'without Redis')
  await refusedAtOnce(t, world, 'nobody')
  await tunnel.carries()

  const again = await startRedis({ port: redis.port })
  t.teardown(again.stop)
  await world.whole()
  await storedAgain(t, world, jobs)
  await standEverywhere(t, world, jobs, 'with the new Redis')
  await tunnel.carries()
  for (const { facts } of world.gateways)
    t.same([facts.of('store_lost').length, facts.of('store_found').length], [1, 1], 'told once each')
})

t.test('SCRIPT FLUSH all the time: each job takes one turn', async (t) => {
  const world = await startRedisWorld(t)
  let isOver = false
  let flushes = 0
  const flushing = (async () => {
    for (; !isOver; flushes++) await world.raw.script('FLUSH')
  })()
  const upstreams = await Promise.all(
    Array.from({ length: 30 }, async (_, n) => {
      const both = await Promise.all(world.gateways.map((gateway) => ask(gateway, `j-${n}`)))
      t.equal(both[0]!.upstream, both[1]!.upstream)
      return both[0]!.upstream
    }),
  )
  isOver = true
  await flushing
  t.same(
    upstreamIds.map((id) => upstreams.filter((upstream) => upstream === id).length),
    [10, 10, 10],
    `after ${flushes} flushes`,
  )
})

t.test(
  'the answer is lost after the script has run: the retry gets that pin, and no second turn',
  async (t) => {
    const redis = await startRedis()
    t.teardown(redis.stop)
    const proxy = await startFaultProxy({ host: '127.0.0.1', port: redis.port })
    t.teardown(proxy.stop)
    const url = `redis://127.0.0.1:${proxy.port}`
    const world = await startRedisWorld(t, { redis, url, gateways: 1 })
    const gateway = world.gateways[0]!
    // So that the ring stands, and the script is known.
    const first = (await ask(gateway, 'first')).upstream!

    proxy.cutAt(['unanswered'], 'answer')
    t.match(await ask(gateway, 'unanswered'), { status: 503, code: 'store_unavailable' })
    const made = (await world.stored()).get('unanswered')
    t.ok(made, 'Redis has pinned it')
    await world.whole()
    t.equal((await ask(gateway, 'unanswered')).upstream, made)
    const third = (await ask(gateway, 'third')).upstream!
    t.same([first, made, third].toSorted(), upstreamIds)
  },
)

t.test('a ring that was tampered with never gives a job to a ghost', async (t) => {
  const world = await startRedisWorld(t)
  const { raw, keys, gateways } = world
  const ring = keys.ring('*:*')
  let made = 0
  const lap = async () => {
    const served = []
    for (const _ of upstreamIds) served.push(await ask(gateways[made % 2]!, `j-${made++}`))
    return served.map(({ status, code, upstream }) => upstream ?? `${status} ${code}`).toSorted()
  }
  t.same(await lap(), upstreamIds)
  for (const [name, harm] of [
    ['deleted', () => raw.del(ring)],
    ['deleted with its version', () => raw.del(ring, keys.rings)],
    ['with ghosts at its end', () => raw.rpush(ring, 'ghost', 'ghost', 'up-0')],
    ['with a ghost at its head', () => raw.lpush(ring, 'ghost')],
    ['with a ghost in the place of an upstream', () => raw.lset(ring, 0, 'ghost')],
    ['with nothing but ghosts', async () => void (await raw.del(ring), await raw.rpush(ring, 'a', 'b', 'c'))],
    ['of another type', () => raw.set(ring, 'not a list')],
  ] as const) {
    await harm()
    const first = await lap()
    const known = [...upstreamIds, '503 store_unavailable', '503 no_upstream']
    t.same(
      first.filter((one) => !known.includes(one)),
      [],
      `${name}: ${first.join(', ')}`,
    )
    if (name === 'of another type') await raw.del(ring)
    t.same(await lap(), upstreamIds, `${name}: all have their turns again`)
  }
})

t.test('what Redis refuses is refused clearly, known jobs go on, and nothing moves', async (t) => {
  const world = await startRedisWorld(t)
  const { raw } = world
  let jobs: Jobs = new Map()
  for (const [name, begin, end] of [
    [
      'out of memory',
      () => raw.config('SET', 'maxmemory', '1', 'maxmemory-policy', 'noeviction'),
      () => raw.config('SET', 'maxmemory', '0'),
    ],
    [
      'too few replicas',
      () => raw.config('SET', 'min-replicas-to-write', '1'),
      () => raw.config('SET', 'min-replicas-to-write', '0'),
    ],
    ['a replica', () => raw.replicaof('127.0.0.1', 1), () => raw.replicaof('NO', 'ONE')],
  ] as const) {
    await t.test(name, async (t) => {
      jobs = new Map([...jobs, ...(await makeJobs(world, 4, name.replaceAll(' ', '-')))])
      await begin()
      await refusedAtOnce(t, world, `refused-${name.replaceAll(' ', '-')}`)
      await standEverywhere(t, world, jobs, `while Redis is ${name}`)
      await end()
      await world.whole()
      await storedAgain(t, world, jobs)
      await standEverywhere(t, world, jobs, 'when it is over')
    })
  }

  await t.test('busy with a script', async (t) => {
    await raw.config('SET', 'lua-time-limit', '20')
    const other = raw.duplicate()
    t.teardown(() => other.disconnect())
    const ended = t.rejects(other.eval('while true do end', 0), /SCRIPT KILL/)
    await until('it says so', async () => /BUSY/.test(String(await raw.ping().catch(String))))
    await standEverywhere(t, world, jobs, 'while Redis is busy')
    await refusedAtOnce(t, world, 'refused-busy')
    await raw.script('KILL')
    await ended
    await world.whole()
    await standEverywhere(t, world, jobs, 'when it is over')
  })
})

t.test('keys are evicted while the jobs have tunnels: no job moves', async (t) => {
  const world = await startRedisWorld(t)
  const { raw, keys, gateways } = world
  const jobs = await makeJobs(world, 6)
  const tunnel = await holdTunnel(gateways[0]!, { target: 'localhost:443', userinfo: 'j-0:x' })
  t.teardown(tunnel.close)
  for (const [name, evicted] of [
    ['pins', [keys.pins]],
    ['their ends', [keys.expiry]],
    ['pins and counts', [keys.pins, keys.counts]],
    ['the fleet and its rings', [keys.fleet, keys.rings, keys.lanes]],
    ['the mark', [keys.born]],
  ] as const) {
    await t.test(name, async (t) => {
      const fresh = await makeJobs(world, 4, `after-${name.replaceAll(' ', '-')}`)
      await raw.del(...evicted)
      await standEverywhere(t, world, new Map([...fresh, ...jobs]), `before ${name} went`)
      await tunnel.carries()
      await world.whole()
      await storedAgain(t, world, new Map([...fresh, ...jobs]))
      await standEverywhere(t, world, new Map([...fresh, ...jobs]), 'and stay')
    })
  }
})

t.test(
  'pins wait for a replica that lags: new jobs are refused by both gateways, known ones go on',
  async (t) => {
    const redis = await startRedis({ settings: { 'repl-diskless-sync-delay': '0' } })
    t.teardown(redis.stop)
    const link = await startFaultProxy({ host: '127.0.0.1', port: redis.port })
    t.teardown(link.stop)
    const { raw: replica } = await redisFor(t)
    await replica.replicaof('127.0.0.1', link.port)
    const world = await startRedisWorld(t, { redis, waitReplicas: 1, commandTimeoutMs: 600 })
    await until('the replica follows, and says so', async () => {
      await world.raw.set('written', 1)
      return (await world.raw.wait(1, 100)) === 1
    })
    const jobs = await makeJobs(world, 4)

    link.stall()
    for (const gateway of world.gateways)
      t.match(
        await ask(gateway, 'new'),
        { status: 503, code: 'store_unavailable' },
        'also who heard of its pin',
      )
    await standEverywhere(t, world, jobs, 'before')
    const made = (await world.stored()).get('new')
    link.heal()
    await until('the replica has it', () => replica.hexists(world.keys.pins, 'new'))
    await standEverywhere(t, world, new Map([...jobs, ['new', made!]]), 'and the new one where it was pinned')
  },
)

t.test(
  'hash: both gateways serve a new job alike, without a second choice, and Redis has it later',
  async (t) => {
    const redis = await startRedis()
    t.teardown(redis.stop)
    const proxy = await startFaultProxy({ host: '127.0.0.1', port: redis.port })
    t.teardown(proxy.stop)
    const world = await startRedisWorld(t, {
      redis,
      url: `redis://127.0.0.1:${proxy.port}`,
      settings: { storeDown: 'hash', failedConnects: 1 },
    })
    const { gateways, upstreams } = world
    const known = await makeJobs(world, 3)
    const [dead] = upstreamIds
    const firstOf = (job: string) =>
      rendezvousOrder(
        job,
        upstreamIds.map((id) => makeUpstream({ id })),
      )[0]!.id
    const names = Array.from({ length: 12 }, (_, n) => `hashed-${n}`)
    t.ok(names.some((job) => firstOf(job) === dead))

    proxy.cut()
    await upstreams[0]!.stop()
    const hashed = new Map<string, string>()
    for (const job of names) {
      const both = await Promise.all(gateways.map((gateway) => ask(gateway, job)))
      const told = both.map(({ status, upstream }) => upstream ?? String(status))
      const wanted = firstOf(job)
      t.same(told, wanted === dead ? ['502', '502'] : [wanted, wanted], job)
      hashed.set(job, wanted)
    }
    proxy.heal()
    await world.whole()
    await storedAgain(t, world, new Map([...known, ...hashed]))
  },
)

t.test(
  'hash: Redis pins a job, and the answer is lost with the connection: one way all the same',
  async (t) => {
    const redis = await startRedis()
    t.teardown(redis.stop)
    const proxy = await startFaultProxy({ host: '127.0.0.1', port: redis.port })
    t.teardown(proxy.stop)
    const world = await startRedisWorld(t, {
      redis,
      url: `redis://127.0.0.1:${proxy.port}`,
      settings: { storeDown: 'hash' },
    })
    const { gateways, stored } = world
    await ask(gateways[0]!, 'first')
    for (const andCut of [false, true]) {
      const served = new Map<string, string>()
      for (let n = 0; n < 4; n++) {
        const job = `torn-${andCut}-${n}`
        proxy.cutAt([job], 'answer', { andCut })
        const { upstream, status } = await ask(gateways[n % 2]!, job)
        t.equal(status, 200)
        t.ok((await stored()).has(job), 'Redis has pinned it')
        served.set(job, upstream!)
        proxy.heal()
        await world.whole()
      }
      await standEverywhere(t, world, served, 'served first')
      await storedAgain(t, world, new Map([...(await stored()), ...served]))
      for (const { facts } of gateways) t.same(facts.of('pin_conflict'), [])
    }
  },
)
