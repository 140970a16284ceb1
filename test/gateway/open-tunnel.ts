import t, { type Test } from 'tap'
import { GatewayError } from '../../src/errors.ts'
import { makeConnectFailures } from '../../src/gateway/connect-failures.ts'
import { dial, type DialLimits } from '../../src/gateway/dial.ts'
import { makeLaneTargets } from '../../src/gateway/lane-targets.ts'
import { makeOpenTunnel } from '../../src/gateway/open-tunnel.ts'
import { makeTargetWaits } from '../../src/gateway/target-waits.ts'
import { makeUpstreamLoad } from '../../src/gateway/upstream-load.ts'
import { makeFleetView } from '../../src/routing/fleet-view.ts'
import { makeKnownPins } from '../../src/routing/known-pins.ts'
import { makePinning } from '../../src/routing/pin.ts'
import { openMemoryStore } from '../../src/store/memory/memory.ts'
import type { TrafficStore } from '../../src/store/store.ts'
import type { Job, Target } from '../../src/types.ts'
import { makeFakeClock, type FakeClock } from '../fixtures/clock.ts'
import { recordFacts } from '../fixtures/facts.ts'
import { closedPort } from '../fixtures/listen.ts'
import { readBytes } from '../fixtures/raw-answer.ts'
import {
  closing,
  establishing,
  refuse,
  resetting,
  saying,
  startReadingUpstream,
  stayingSilent,
  type Script,
  type ScriptedUpstream,
} from '../fixtures/scripted-upstream.ts'
import { makeUpstream } from '../fixtures/upstream.ts'
import { until } from '../fixtures/until.ts'

const life = { idleMs: 600_000, maxLifeMs: 86_400_000 }
const target: Target = { host: 'bank.test', port: 443 }
const never = new AbortController().signal
const job = (id: string): Job => ({ id, type: null, institution: null })
const addresses = (...hosts: string[]): Target[] => hosts.map((host) => ({ host, port: 443 }))
const blamed = (upstream: string) =>
  new GatewayError('upstream_failed', { detail: 'closed', blame: 'reply', upstream })

type Options = {
  store?: TrafficStore
  gatewayId?: string
  found?: () => readonly Target[] | Promise<readonly Target[]>
  dial?: typeof dial
  maxTunnels?: number
  replyTimeoutMs?: number
  clock?: FakeClock
}

/** The parts of one gateway between a read request and a standing tunnel, on upstreams `up-1`, `up-2`, ... */
async function makeParts(ports: readonly number[], options: Options = {}) {
  const clock = options.clock ?? makeFakeClock()
  const store = options.store ?? openMemoryStore({ life, now: clock.now })
  const facts = recordFacts()
  const { events } = facts
  const gatewayId = options.gatewayId ?? 'gw-1'
  const known = makeKnownPins({ limit: 100, gatewayId })
  const fleet = makeFleetView({ snapshots: store.snapshots, events })
  const load = makeUpstreamLoad({ maxTunnels: options.maxTunnels ?? 10 })
  const failures = makeConnectFailures({ limit: 2, refuseMs: 10_000, events, now: clock.now })
  const pinning = makePinning({
    gatewayId,
    pins: store.pins,
    known,
    fleet,
    life,
    refused: () => ({ ids: [...load.full, ...failures.refused()], full: load.full }),
    flexTypes: [],
    hash: () => null,
    firstUsed: () => {},
    events,
    now: clock.now,
  })
  const openTunnel = makeOpenTunnel({
    pinning,
    findTarget: async () => (options.found ?? (() => addresses('192.0.2.1')))(),
    laneTargets: makeLaneTargets({ fleet, known, events, now: clock.now }),
    dial: options.dial ?? dial,
    load,
    waits: makeTargetWaits({ maxTunnels: options.maxTunnels ?? 10, now: clock.now }),
    failures,
    limits: { connectTimeoutMs: 5000, replyTimeoutMs: options.replyTimeoutMs ?? 5000 },
    credentialsOf: (upstream) => `${upstream.id}:s3cret`,
    events,
    now: clock.now,
  })
  const upstreams = ports.map((port, index) => makeUpstream({ id: `up-${index + 1}`, port }))
  await store.snapshots.publish({ version: 1, upstreams, restrictions: [] })
  await fleet.refresh()
  return { clock, store, facts, known, fleet, load, failures, pinning, openTunnel }
}

async function setUp(t: Test, scripts: readonly Script[], options: Options = {}) {
  const scripted = await Promise.all(scripts.map((script) => startReading(t, script)))
  const parts = await makeParts(
    scripted.map(({ port }) => port),
    options,
  )
  return {
    ...parts,
    scripted,
    /** Dials so far, over all upstreams. */
    dials: () => scripted.reduce((sum, upstream) => sum + upstream.connections().accepted, 0),
    at: (id: string) => scripted[Number(id.slice('up-'.length)) - 1]!,
    open: async (jobId: string, signal = never) => {
      const tunnel = await parts.openTunnel(job(jobId), target, signal)
      t.teardown(() => tunnel.socket.destroy())
      return tunnel
    },
    nothingOpen: async () => {
      await until('no connection is left', () => scripted.every((one) => one.connections().open === 0))
      await until('every seat is free', () => parts.load.own.size === 0)
    },
  }
}

async function startReading(t: Test, script: Script): Promise<ScriptedUpstream> {
  const upstream = await startReadingUpstream(script)
  t.teardown(upstream.stop)
  return upstream
}

t.test('a tunnel that stands', async (t) => {
  const { open, at, known, load, scripted, pinning, nothingOpen } = await setUp(t, [
    establishing(),
    establishing(),
  ])
  const tunnel = await open('job-1')
  const upstream = at(tunnel.upstream.id)
  tunnel.socket.write('hello')
  t.equal((await readBytes(tunnel.socket, 5)).toString(), 'hello')
  t.match(upstream.heads, [/^CONNECT 192\.0\.2\.1:443 /], 'the address that was found')
  t.match(upstream.heads[0], Buffer.from(`${tunnel.upstream.id}:s3cret`).toString('base64'))
  t.equal(scripted.filter(({ heads }) => heads.length > 0).length, 1)
  t.match(tunnel.pin, { upstreamId: tunnel.upstream.id, tunnels: 1, standing: 'used' })
  t.same([...load.own], [[tunnel.upstream.id, 1]])
  tunnel.socket.destroy()
  await nothingOpen()
  t.equal(known.get('job-1')?.tunnels, 1, 'the pin is held until it is let go')
  pinning.letGo(tunnel.pin)
  t.equal(known.get('job-1')?.tunnels, 0)
})

t.test('all tunnels of a job go through one upstream', async (t) => {
  const { open } = await setUp(t, [establishing(), establishing(), establishing()])
  const tunnels = await Promise.all(Array.from({ length: 6 }, () => open('job-1')))
  t.equal(new Set(tunnels.map(({ upstream }) => upstream.id)).size, 1)
})

t.test('a fresh pin whose upstream is at fault', async (t) => {
  const faults: { [name: string]: Script } = {
    'closed without an answer': closing,
    reset: resetting,
    'no HTTP': saying('SSH-2.0-x\r\n\r\n'),
  }
  for (const [name, script] of Object.entries(faults)) {
    t.test(`gets another one: ${name}`, async (t) => {
      const { open, dials, facts, load, nothingOpen } = await setUp(t, [script, script, establishing()])
      // Whoever comes first in the ring: three jobs meet each of them as their first.
      for (const id of ['job-1', 'job-2', 'job-3']) {
        const tunnel = await open(id)
        t.equal(tunnel.upstream.id, 'up-3')
        t.equal(tunnel.pin.upstreamId, 'up-3')
        tunnel.socket.destroy()
      }
      const failed = dials() - 3
      t.ok(failed > 0)
      t.equal(facts.of('pin_moved').length, failed)
      t.equal(facts.of('upstream_blamed').length, failed)
      await nothingOpen()
      t.same([...load.full], [])
    })
  }

  t.test('three times at most', async (t) => {
    const { open, scripted, dials, nothingOpen } = await setUp(t, Array(5).fill(closing))
    await t.rejects(open('job-1'), { code: 'upstream_failed', fields: { blame: 'reply' } })
    t.equal(dials(), 3)
    t.equal(scripted.filter(({ heads }) => heads.length > 0).length, 3, 'each of them once')
    await nothingOpen()
  })

  t.test('not for longer than ten seconds', async (t) => {
    const clock = makeFakeClock()
    const dialled: string[] = []
    const { openTunnel } = await makeParts([1, 2, 3], {
      clock,
      dial: async (upstream) => {
        dialled.push(upstream.id)
        clock.advance(6000)
        throw blamed(upstream.id)
      },
    })
    await t.rejects(openTunnel(job('job-1'), target, never), { code: 'upstream_failed' })
    t.equal(dialled.length, 2)
  })

  t.test('and is told of the failure where there is no other', async (t) => {
    const { open, dials } = await setUp(t, [closing])
    await t.rejects(open('job-1'), { code: 'upstream_failed', fields: { upstream: 'up-1' } })
    t.equal(dials(), 1)
  })

  t.test('together with other requests of the job: all end on one upstream', async (t) => {
    const { open } = await setUp(t, [closing, establishing(), closing, establishing()])
    for (let i = 0; i < 4; i++) {
      const tunnels = await Promise.all([1, 2, 3, 4].map(() => open(`job-${i}`)))
      t.equal(new Set(tunnels.map(({ upstream }) => upstream.id)).size, 1)
    }
  })
})

t.test('a fresh pin stays where nobody knows that the upstream is at fault', async (t) => {
  const rows = [
    { name: 'it answered 500', script: refuse(500), code: 'target_failed' },
    { name: 'it answered 503', script: refuse(503), code: 'target_failed' },
    { name: 'it answered 403', script: refuse(403), code: 'upstream_failed' },
    { name: 'it did not answer in time', script: stayingSilent, code: 'upstream_timeout' },
  ]
  for (const { name, script, code } of rows) {
    t.test(name, async (t) => {
      const { open, dials, facts, store, nothingOpen } = await setUp(t, Array(3).fill(script), {
        replyTimeoutMs: 50,
      })
      await t.rejects(open('job-1'), { code })
      t.equal(dials(), 1)
      t.same([...facts.of('pin_moved'), ...facts.of('upstream_blamed')], [])
      const wanted =
        code === 'upstream_timeout' ? [{ upstream: (await store.pins.read('job-1'))?.upstreamId }] : []
      t.strictSame(facts.of('probe_wanted'), wanted)
      await nothingOpen()
    })
  }
})

t.test('a used pin never moves, whatever its upstream does', async (t) => {
  const onceThen =
    (script: Script): Script =>
    (connection) =>
      (connection.index === 0 ? establishing() : script)(connection)
  for (const [name, script] of Object.entries({ closing, resetting, stayingSilent, '500': refuse(500) })) {
    t.test(name, async (t) => {
      const { open, dials, facts } = await setUp(t, Array(3).fill(onceThen(script)), { replyTimeoutMs: 50 })
      const { upstream, pin } = await open('job-1')
      for (let i = 0; i < 2; i++)
        await t.rejects(open('job-1'), { code: /_failed|_timeout/, fields: { upstream: upstream.id } })
      t.equal(dials(), 3, 'one try each')
      t.equal(pin.upstreamId, upstream.id)
      t.same(facts.of('pin_moved'), [])
    })
  }
})

t.test('the addresses of a name', async (t) => {
  const five = () => addresses('192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5')
  const reaching =
    (host: string): Script =>
    (connection) =>
      (connection.authority === `${host}:443` ? establishing() : refuse(500))(connection)

  t.test('are tried one after another through the same upstream', async (t) => {
    const { open, at, dials } = await setUp(t, Array(3).fill(reaching('192.0.2.3')), { found: five })
    const { upstream } = await open('job-1')
    t.same(
      at(upstream.id).heads.map((head) => head.split(' ')[1]),
      ['192.0.2.1:443', '192.0.2.2:443', '192.0.2.3:443'],
    )
    t.equal(dials(), 3)
  })

  t.test('three at most', async (t) => {
    const { open, dials, nothingOpen } = await setUp(t, [reaching('192.0.2.4')], { found: five })
    await t.rejects(open('job-1'), { code: 'target_failed', fields: { receivedStatus: 500 } })
    t.equal(dials(), 3)
    await nothingOpen()
  })

  t.test('but the next one only after a 5xx', async (t) => {
    for (const script of [closing, refuse(403), stayingSilent]) {
      const { open, dials } = await setUp(t, [script], { found: five, replyTimeoutMs: 50 })
      await t.rejects(open('job-1'), { code: /upstream/ })
      t.equal(dials(), 1)
    }
  })

  t.test('share one time', async (t) => {
    const clock = makeFakeClock()
    const limits: DialLimits[] = []
    const { openTunnel } = await makeParts([1], {
      clock,
      found: five,
      dial: async (_upstream, _address, given) => {
        limits.push(given)
        clock.advance(4900)
        throw new GatewayError('target_failed', { detail: 'it answered 500', receivedStatus: 500 })
      },
    })
    await t.rejects(openTunnel(job('job-1'), target, never), { code: 'target_failed' })
    t.same(
      limits.map(({ replyTimeoutMs }) => replyTimeoutMs),
      [5000, 5000, 200],
    )
  })
})

t.test('nothing costs a turn before the target is known', async (t) => {
  const { open, store, dials } = await setUp(t, [establishing()], {
    found: () => {
      throw new GatewayError('target_denied', { detail: 'No.' })
    },
  })
  await t.rejects(open('job-1'), { code: 'target_denied' })
  t.equal(await store.pins.read('job-1'), null)
  t.equal(dials(), 0)
})

t.test('a full upstream', async (t) => {
  t.test('takes no further tunnel of its jobs, and is not even asked', async (t) => {
    const { open, dials } = await setUp(t, [establishing(), establishing()], { maxTunnels: 1 })
    const first = await open('job-1')
    await t.rejects(open('job-1'), { code: 'overloaded', fields: { upstream: first.upstream.id } })
    t.equal(dials(), 1)
    first.socket.destroy()
    await until('its seat is free', () => open('job-1').catch(() => null))
  })

  t.test('gets no new job', async (t) => {
    const { open } = await setUp(t, [establishing(), establishing()], { maxTunnels: 1 })
    const [first, second] = [await open('job-1'), await open('job-2')]
    t.not(first.upstream.id, second.upstream.id)
    await t.rejects(open('job-3'), { code: 'overloaded' })
  })
})

t.test('failed connects', async (t) => {
  t.test('in a row set an upstream aside for new jobs', async (t) => {
    const echo = await startReading(t, establishing())
    const { openTunnel, failures, facts } = await makeParts([await closedPort(), echo.port])
    for (let i = 0; failures.refused().length === 0 && i < 10; i++) {
      const { socket, upstream } = await openTunnel(job(`job-${i}`), target, never)
      socket.destroy()
      t.equal(upstream.id, 'up-2')
    }
    t.same(failures.refused(), ['up-1'])
    t.strictSame(facts.of('upstream_set_aside'), [{ upstream: 'up-1', forMs: 10_000 }])
    t.match(facts.of('upstream_blamed'), [{ upstream: 'up-1' }, { upstream: 'up-1' }])
  })

  t.test('are forgotten once it has taken a connection, whatever came of it', async (t) => {
    for (const script of [establishing(), refuse(500), closing, stayingSilent]) {
      const { open, failures } = await setUp(t, [script], { replyTimeoutMs: 50 })
      failures.failed('up-1')
      await open('job-1').catch(() => {})
      failures.failed('up-1')
      t.same(failures.refused(), [])
    }
  })
})

t.test('a client that leaves', async (t) => {
  const reason = new Error('the client has left')

  t.test('before anything costs nothing', async (t) => {
    const { open, dials, store } = await setUp(t, [establishing()])
    await t.rejects(open('job-1', AbortSignal.abort(reason)), reason)
    t.equal(dials(), 0)
    t.equal(await store.pins.read('job-1'), null)
  })

  t.test('while its target is looked for waits no longer', async (t) => {
    const left = new AbortController()
    const { open, dials, store } = await setUp(t, [establishing()], { found: () => new Promise(() => {}) })
    const opening = open('job-1', left.signal)
    left.abort(reason)
    await t.rejects(opening, reason)
    t.equal(dials(), 0)
    t.equal(await store.pins.read('job-1'), null)
  })

  t.test('while the upstream is silent frees the seat and the socket', async (t) => {
    const left = new AbortController()
    const { open, facts, nothingOpen } = await setUp(t, [() => left.abort(reason), () => left.abort(reason)])
    await t.rejects(open('job-1', left.signal), reason)
    await nothingOpen()
    t.same([...facts.of('upstream_blamed'), ...facts.of('probe_wanted'), ...facts.of('pin_moved')], [])
  })

  t.test('while its pin is settled leaves no tunnel', async (t) => {
    const clock = makeFakeClock()
    const store = openMemoryStore({ life, now: clock.now })
    const left = new AbortController()
    const leaving: TrafficStore = {
      ...store,
      pins: {
        ...store.pins,
        use: async (jobId, upstreamId) => {
          left.abort(reason)
          return store.pins.use(jobId, upstreamId)
        },
      },
    }
    const { open, known, nothingOpen } = await setUp(t, [establishing()], {
      store: leaving,
      gatewayId: 'gw-2',
      clock,
    })
    await store.pins.pin({
      job: job('job-1'),
      gatewayId: 'gw-1',
      version: 1,
      eligible: ['up-1'],
      refused: [],
    })
    await t.rejects(open('job-1', left.signal), reason)
    t.equal(known.get('job-1')?.tunnels, 0)
    await nothingOpen()
  })
})

t.test('a pin that another gateway made and moves', async (t) => {
  const clock = makeFakeClock()
  const store = openMemoryStore({ life, now: clock.now })
  const maker = await makeParts([1, 2], { store, clock })
  const own = await maker.pinning.pinJob(job('job-1'))
  const before = own.upstreamId
  let first = true
  const moving: Script = async (connection) => {
    if (first) await maker.pinning.moveOn(own, before)
    first = false
    return establishing()(connection)
  }
  const other = await setUp(t, [moving, moving], { store, clock, gatewayId: 'gw-2' })
  // The same fleet, now with ports that listen.
  const ports = other.scripted.map(({ port }, index) => makeUpstream({ id: `up-${index + 1}`, port }))
  await store.snapshots.publish({ version: 2, upstreams: ports, restrictions: [] })
  await other.fleet.refresh()
  const tunnel = await other.open('job-1')
  t.not(own.upstreamId, before)
  t.equal(tunnel.upstream.id, own.upstreamId, 'is followed')
  await until('the tunnel to the first is dropped', () => other.at(before).connections().open === 0)
  t.same([...other.load.own], [[own.upstreamId, 1]])
  t.notOk(await maker.pinning.moveOn(own, own.upstreamId), 'and stays from then on')
})

t.test('a pin that keeps moving is given up', async (t) => {
  let dials = 0
  const pin = { upstreamId: 'up-1' } as never
  const load = makeUpstreamLoad({ maxTunnels: 10 })
  const upstream = await startReading(t, establishing())
  const openTunnel = makeOpenTunnel({
    pinning: {
      pinJob: async () => pin,
      upstreamOf: () => makeUpstream({ id: 'up-1', port: upstream.port }),
      settle: async () => false,
    } as never,
    findTarget: async () => [target],
    laneTargets: { afterPinning: () => () => {} },
    dial: (...all) => {
      dials += 1
      return dial(...all)
    },
    load,
    waits: makeTargetWaits({ maxTunnels: 10, now: () => 0 }),
    failures: makeConnectFailures({ limit: 2, refuseMs: 1, events: recordFacts().events, now: () => 0 }),
    limits: { connectTimeoutMs: 5000, replyTimeoutMs: 5000 },
    credentialsOf: () => null,
    events: recordFacts().events,
    now: () => 0,
  })
  await t.rejects(openTunnel(job('job-1'), target, never), { code: 'overloaded', fields: { job: 'job-1' } })
  t.equal(dials, 5)
  await until('every seat is free', () => load.own.size === 0)
})

t.test('a store that goes away before the pin is confirmed leaves no tunnel', async (t) => {
  const clock = makeFakeClock()
  const store = openMemoryStore({ life, now: clock.now })
  const away = async () => {
    throw new GatewayError('store_unavailable', { detail: 'away' })
  }
  const leaving: TrafficStore = { ...store, pins: { ...store.pins, use: away } }
  const { open, nothingOpen } = await setUp(t, [establishing()], { store: leaving, gatewayId: 'gw-2', clock })
  await store.pins.pin({ job: job('job-1'), gatewayId: 'gw-1', version: 1, eligible: ['up-1'], refused: [] })
  await t.rejects(open('job-1'), { code: 'store_unavailable' })
  await nothingOpen()
})
