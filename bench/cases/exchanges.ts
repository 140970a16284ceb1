// What does the gateway cost inside tunnels that stand? Small messages to and fro, one after the other in each.
// The floor is the same load through the same upstream without the gateway.

import type { BenchCase } from '../fixtures/case.ts'
import { contest, contestFigures } from '../fixtures/contest.ts'
import { floor } from '../fixtures/floor.ts'
import type { Load } from '../fixtures/load.ts'
import type { ExchangesQuestion, OpenQuestion } from '../fixtures/tunnel-load.ts'
import { startTunnelRoad } from '../fixtures/tunnel-road.ts'

const settings = { upstream: 'stub', tunnels: 32, exchangeBytes: 500 } as const

export const exchanges: BenchCase = {
  name: 'exchanges',
  question: 'What does an exchange of 500 bytes cost in a tunnel that stands?',
  settings,

  async run(options) {
    const { gateway, upstream, startLoad, wayThrough } = await startTunnelRoad(
      options.scope,
      settings.upstream,
    )
    const { tunnels, exchangeBytes } = settings
    const exchange = { up: exchangeBytes, down: exchangeBytes }

    /** A load generator of its own for each contender: tunnels of the other stay open and idle meanwhile. */
    async function contender(name: string, proxy: { port: number; pid: number }, role: string) {
      const load = await startLoad()
      const way = wayThrough(proxy, tunnels)
      await load.ask('open', { way, count: tunnels } satisfies OpenQuestion)
      return {
        name,
        processes: {
          [role]: proxy.pid,
          ...(role === 'upstream' ? {} : { upstream: upstream.pid }),
          load: load.pid,
        },
        load: (seconds: number) =>
          load.ask<Load>('exchanges', { seconds, exchange } satisfies ExchangesQuestion),
      }
    }

    const contenders = [
      await contender('gateway', gateway, 'gateway'),
      await contender(floor, upstream, 'upstream'),
    ]
    const naming = { operation: 'exchange', operations: 'exchanges', latency: 'exchange' }
    return contestFigures(await contest(contenders, options), naming, floor)
  },
}
