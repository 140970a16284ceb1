// What is done to the parts of a soak: one fault after the other, chosen by a seed, each healed before the next one comes.
// What was done, when, and until when, is written down: for the checker, which excuses nothing else, and for people.

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Fault } from '../checker/records.ts'
import type { FaultProxy } from '../fixtures/fault-proxy.ts'
import { basic } from '../fixtures/raw-client.ts'
import { nowMs } from '../fixtures/recorded-client.ts'
import type { Random } from '../fuzz/random.ts'
import type { KeptProcess } from './kept-process.ts'
import type { Operator } from './operator.ts'
import { token, type World } from './world.ts'

/** Once its ports are open again, a process is still this busy with its start. */
const settleMs = 1500

type Parts = {
  readonly world: World
  readonly operator: Operator
  readonly random: Random
  readonly write: (fault: Fault) => void
}

type Told = { readonly kind: Fault['kind']; readonly whom?: string | null }
type FaultOf = { readonly name: string; readonly run: (parts: Tools) => Promise<void> }
type Tools = Parts & {
  /** Writes down what goes on until it is over. */
  readonly during: (told: readonly Told[], what: string, work: () => Promise<unknown>) => Promise<void>
}

/** The first gateway is only ever slowed down: what it holds is looked at from the beginning to the end. */
function victim({ world, random }: Parts): KeptProcess {
  return random.pick(world.gateways.slice(1))
}

/** All of them, or one: a partition. */
function ways({ world, random }: Parts): {
  readonly whom: string | null
  readonly proxies: readonly FaultProxy[]
} {
  const { proxies } = world.store
  if (random.chance(0.6)) return { whom: null, proxies: [...proxies.values()] }
  const { name } = random.pick(world.gateways)
  return { whom: name, proxies: [proxies.get(name)!] }
}

function network(
  name: string,
  kind: Told['kind'],
  set: (proxy: FaultProxy, random: Random) => void,
): FaultOf {
  return {
    name,
    async run(tools) {
      const { whom, proxies } = ways(tools)
      await tools.during([{ kind, whom }], `${name} (${whom ?? 'all'})`, async () => {
        for (const proxy of proxies) set(proxy, tools.random)
        await delay(1000 + tools.random.int(7000))
        for (const proxy of proxies) proxy.heal()
        await delay(settleMs)
      })
    },
  }
}

function database(name: string, run: (tools: Tools) => Promise<void>): FaultOf {
  return { name, run: (tools) => tools.during([{ kind: 'other' }], name, () => run(tools)) }
}

function restart(name: string, signal: 'SIGTERM' | 'SIGKILL', who: (tools: Tools) => KeptProcess): FaultOf {
  return {
    name,
    async run(tools) {
      const kept = who(tools)
      const kind = signal === 'SIGKILL' && kept.name.startsWith('gateway') ? 'gateway_killed' : 'other'
      await tools.during([{ kind, whom: kept.name }], `${name} (${kept.name})`, async () => {
        await kept.stop(signal)
        await delay(tools.random.int(2000))
        await kept.start()
        await delay(settleMs)
      })
    },
  }
}

async function eachProxy(
  proxies: readonly FaultProxy[],
  random: Random,
  set: (proxy: FaultProxy) => void,
): Promise<void> {
  for (const proxy of proxies) set(proxy)
  await delay(1000 + random.int(6000))
  for (const proxy of proxies) proxy.heal()
}

export const faults: readonly FaultOf[] = [
  network('Redis is slow', 'store_away', (proxy, random) => proxy.delay(100 + random.int(3000))),
  network('Redis stalls', 'store_away', (proxy) => proxy.stall()),
  network('Redis is a black hole', 'store_away', (proxy) => proxy.blackHole()),
  network('Redis is cut off', 'store_away', (proxy) => proxy.cut()),
  {
    name: 'Redis is flushed',
    run: ({ world, during }) =>
      during([{ kind: 'store_lost_data' }], 'Redis is flushed', () =>
        world.store.flush().then(() => delay(settleMs)),
      ),
  },
  {
    name: 'Redis forgets its scripts',
    run: ({ world, during }) =>
      during([{ kind: 'other' }], 'Redis forgets its scripts', () => world.store.forgetScripts()),
  },
  {
    name: 'Redis is killed and starts empty',
    async run({ world, random, during }) {
      const told = [{ kind: 'store_lost_data' as const }, { kind: 'store_away' as const }]
      await during(told, 'Redis is killed and starts empty', async () => {
        await world.store.kill()
        await delay(random.int(5000))
        await world.store.startEmpty()
        await world.store.follow()
        await delay(settleMs)
      })
    },
  },
  {
    name: 'Redis fails over and loses its last writes',
    async run({ world, random, during }) {
      const told = [{ kind: 'store_lost_data' as const }, { kind: 'store_away' as const }]
      await during(told, 'Redis fails over and loses its last writes', async () => {
        world.store.stallLink()
        await delay(random.int(1500))
        await world.store.kill()
        await delay(random.int(2000))
        world.store.turnTo(await world.store.promote())
        await world.store.follow()
        await delay(settleMs)
      })
    },
  },
  database('PostgreSQL is down', async ({ world, random }) => {
    await world.postgres.halt()
    await delay(1000 + random.int(6000))
    await world.postgres.start()
  }),
  database('PostgreSQL is frozen', async ({ world, random }) => {
    world.postgres.freeze()
    await delay(1000 + random.int(6000))
    world.postgres.thaw()
  }),
  database('PostgreSQL is slow', ({ world, random }) =>
    eachProxy(world.toDatabase, random, (proxy) => proxy.delay(50 + random.int(1500))),
  ),
  database('PostgreSQL is cut off', ({ world, random }) =>
    eachProxy(world.toDatabase, random, (proxy) => proxy.cut()),
  ),
  restart('a gateway ends in order', 'SIGTERM', victim),
  restart('a gateway is killed', 'SIGKILL', victim),
  restart('control is killed', 'SIGKILL', ({ world, random }) => random.pick(world.controls)),
  {
    name: 'a gateway stands still',
    async run(tools) {
      const { name, freeze } = tools.random.pick(tools.world.gateways)
      await tools.during([{ kind: 'gateway_stalled', whom: name }], `${name} stands still`, async () => {
        await freeze(500 + tools.random.int(2500))
        await delay(settleMs)
      })
    },
  },
  {
    name: 'an upstream dies',
    async run({ world, operator, random, during }) {
      const id = await anyUpstream(operator, random)
      const machine = world.engine.instances().find(({ name }) => name === id)
      if (id === null || !machine) return
      await during([{ kind: 'upstream_died', whom: id }], `${id} dies`, async () => {
        await world.engine.kill(id)
        await delay(2000 + random.int(4000))
        await operator.remove(id)
      })
    },
  },
  {
    name: 'an upstream stalls and goes on',
    async run({ world, operator, random, during }) {
      const id = await anyUpstream(operator, random)
      const pid = world.engine.instances().find(({ name }) => name === id)?.pid
      if (id === null || !pid) return
      await during([{ kind: 'other', whom: id }], `${id} stalls and goes on`, async () => {
        for (let times = 1 + random.int(3); times > 0; times -= 1) {
          signal(pid, 'SIGSTOP')
          await delay(500 + random.int(3000))
          signal(pid, 'SIGCONT')
          await delay(500)
        }
      })
    },
  },
  {
    name: 'clients come and go at once',
    async run({ world, random, during }) {
      const { gatewayPort } = random.pick(world.gateways)
      await during([{ kind: 'other' }], '300 clients come, half of them with a request, and are gone', () =>
        storm(gatewayPort, world.target.raw, 300),
      )
    },
  },
]

async function anyUpstream(operator: Operator, random: Random): Promise<string | null> {
  const running = (await operator.upstreams()).filter(({ state, ejected }) => state === 'running' && !ejected)
  return running.length > 3 ? random.pick(running).id : null
}

/** It may have ended meanwhile. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // Its machine was deleted.
  }
}

let storms = 0

async function storm(port: number, target: string, clients: number): Promise<void> {
  storms += 1
  const gone = Array.from({ length: clients }, (_, number) => {
    const socket = connect(port, '127.0.0.1')
    const user = basic(`storm-${storms}-${number}:${token}`)
    if (number % 2 === 0)
      socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Authorization: ${user}\r\n\r\n`)
    return new Promise<void>((resolve) => {
      socket.on('error', () => {})
      socket.on('close', () => resolve())
      setTimeout(() => socket.resetAndDestroy(), 20 + (number % 200))
    })
  })
  await Promise.all(gone)
}

/** Until the signal says so; the one under way is healed first. @param say  told what is done, as it begins */
export async function runFaults(
  parts: Parts & { readonly signal: AbortSignal; readonly say: (what: string) => void },
): Promise<number> {
  const { random, write, signal, say } = parts
  let done = 0
  async function during(told: readonly Told[], what: string, work: () => Promise<unknown>): Promise<void> {
    const fromMs = nowMs()
    say(what)
    try {
      await work()
    } finally {
      const toMs = nowMs()
      for (const { kind, whom = null } of told) write({ kind, whom, fromMs, toMs, what })
    }
  }
  while (!signal.aborted) {
    const fault = random.pick(faults)
    await fault.run({ ...parts, during })
    done += 1
    await delay(1500 + random.int(4000), undefined, { signal }).catch(() => undefined)
  }
  return done
}
