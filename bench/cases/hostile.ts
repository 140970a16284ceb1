// What do normal jobs feel of clients that mean no good? 8,000 sockets that say nothing, 1,000 heads that come a byte a
// second, and 300 clients that ask for 256 MiB each and do not read, all at once; a few normal jobs beside them, before,
// meanwhile and after. One gateway for all rounds, so that memory which is not given back adds up.

import { setTimeout as delay } from 'node:timers/promises'
import type { BenchCase } from '../fixtures/case.ts'
import { startChild, type Child } from '../fixtures/child.ts'
import { startFleet } from '../fixtures/gateway.ts'
import type { Attack, Standing } from '../fixtures/hostile-load.ts'
import type { Load } from '../fixtures/load.ts'
import { liveKb } from '../fixtures/live-memory.ts'
import { cpuUs, residentKb } from '../fixtures/process-usage.ts'
import type { TargetPorts } from '../fixtures/target-process.ts'
import type { TunnelsQuestion } from '../fixtures/tunnel-load.ts'
import { spreadOf } from '../fixtures/statistics.ts'
import { startUpstream } from '../fixtures/upstream.ts'

const settings = {
  upstream: 'stub',
  idleSockets: 8000,
  slowHeads: 1000,
  slowReaders: 300,
  inFlight: 4,
  jobs: 100,
  exchangeBytes: 500,
} as const

/** Else the gateway would end the attack after five seconds, and there would be nothing to measure. */
const limits = { gateway: { headTimeoutMs: 120_000 } }
/** For the ends of 9,300 sockets, and for the garbage of both processes. */
const restMs = 3000
const attackWithinMs = 60_000

type Round = {
  readonly quietUs: number
  readonly besideUs: number
  readonly idleCpuUs: number
  /** Live: what a full collection leaves. All above the start. */
  readonly peakKb: number
  readonly keptKb: number
  readonly residentKb: number
}

export const hostile: BenchCase = {
  name: 'hostile',
  question: 'What do normal jobs feel of idle sockets, slow heads and slow readers?',
  settings,

  async run({ scope, rounds, seconds, warmUpSeconds }) {
    const child = <Ready = unknown>(name: string): Promise<Child<Ready>> =>
      startChild<Ready>(scope, new URL(`../fixtures/${name}`, import.meta.url))
    const { ready } = await child<TargetPorts>('target-process.ts')
    const target = `127.0.0.1:${ready.exchangePort}`
    const upstream = await startUpstream(scope, settings.upstream)
    const gateway = await (await startFleet(scope, upstream, limits)).startGateway()
    const load = await child('tunnel-load.ts')
    const hostileLoad = await child('hostile-load.ts')

    const normal = async (forSeconds: number) => {
      const { inFlight, jobs, exchangeBytes } = settings
      const way = { proxyPort: gateway.port, target, jobs }
      const exchange = { up: exchangeBytes, down: exchangeBytes }
      const question = { way, seconds: forSeconds, inFlight, exchange } satisfies TunnelsQuestion
      const answer = await load.ask<Load>('tunnels', question)
      if (answer.errors > 0) throw new Error(`a normal job failed: ${answer.firstError}`)
      return answer
    }
    const attack: Attack = { proxyPort: gateway.port, target, ...settings }
    const wanted = { idle: attack.idleSockets, heads: attack.slowHeads, readers: attack.slowReaders }
    const assertStands = (standing: Standing) => {
      for (const [kind, count] of Object.entries(wanted))
        if (standing[kind as keyof Standing] < count) throw new Error(`not all of the ${kind} stand`)
    }

    await normal(warmUpSeconds)
    const start = { liveKb: await liveKb(gateway), residentKb: residentKb(gateway.pid) }
    const measured: Round[] = []
    for (let round = 0; round < rounds; round++) {
      scope.signal.throwIfAborted()
      const quiet = await normal(seconds)
      assertStands(await hostileLoad.ask<Standing>('begin', attack, attackWithinMs))
      const beforeUs = cpuUs(gateway.pid)
      await delay(1000, undefined, { signal: scope.signal })
      const idleCpuUs = cpuUs(gateway.pid) - beforeUs
      const beside = await normal(seconds)
      assertStands(await hostileLoad.ask<Standing>('standing'))
      const peakKb = (await liveKb(gateway)) - start.liveKb
      await hostileLoad.ask('end')
      await delay(restMs, undefined, { signal: scope.signal })
      await normal(seconds)
      measured.push({
        quietUs: quiet.p99Us,
        besideUs: beside.p99Us,
        idleCpuUs,
        peakKb,
        keptKb: (await liveKb(gateway)) - start.liveKb,
        residentKb: residentKb(gateway.pid) - start.residentKb,
      })
    }
    const figure = (name: string, unit: string, of: (round: Round) => number, atMost?: number) => ({
      name: `gateway: ${name}`,
      unit,
      better: 'less' as const,
      values: measured.map(of),
      ...(atMost === undefined ? {} : { atMost }),
    })
    const middle = (of: (round: Round) => number) => spreadOf(measured.map(of)).median
    return [
      figure('set-up p99, quiet', 'us', ({ quietUs }) => quietUs),
      figure('set-up p99, beside the hostile', 'us', ({ besideUs }) => besideUs),
      {
        name: 'gateway: set-up p99, beside to quiet (medians)',
        unit: 'ratio',
        better: 'less',
        values: [middle(({ besideUs }) => besideUs) / middle(({ quietUs }) => quietUs)],
        atMost: 2,
      },
      figure('CPU while they stand', 'ms/s', ({ idleCpuUs }) => idleCpuUs / 1000),
      figure('live memory while they stand, above the start', 'MiB', ({ peakKb }) => peakKb / 1024),
      figure('live memory afterwards, above the start', 'MiB', ({ keptKb }) => keptKb / 1024, 5),
      figure('resident memory afterwards, above the start', 'MiB', ({ residentKb }) => residentKb / 1024),
    ]
  },
}
