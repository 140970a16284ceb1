// How many tunnels can be set up, used once and closed again? Of jobs that the gateway knows, and of a new job each
// time, which costs a turn of Redis. The floor is the same load straight to the same Tinyproxy.

import type { BenchCase } from '../fixtures/case.ts'
import { contest, contestFigures, type Contender } from '../fixtures/contest.ts'
import { floor } from '../fixtures/floor.ts'
import type { Load } from '../fixtures/load.ts'
import type { TunnelsQuestion, Way } from '../fixtures/tunnel-load.ts'
import { startTunnelRoad } from '../fixtures/tunnel-road.ts'

const settings = { upstream: 'tinyproxy', inFlight: 32, jobs: 1000, exchangeBytes: 500 } as const

export const tunnels: BenchCase = {
  name: 'tunnels',
  question: 'What does a tunnel cost that is set up, used for one exchange and closed?',
  settings,

  async run(options) {
    const { gateway, upstream, startLoad, wayThrough } = await startTunnelRoad(
      options.scope,
      settings.upstream,
    )
    const load = await startLoad()
    const { inFlight, jobs, exchangeBytes } = settings
    const exchange = { up: exchangeBytes, down: exchangeBytes }
    const along = (way: Way) => (seconds: number) =>
      load.ask<Load>('tunnels', { way, seconds, inFlight, exchange } satisfies TunnelsQuestion)
    const beside = { upstream: upstream.pid, load: load.pid }

    const contenders: Contender[] = [
      {
        name: 'gateway',
        processes: { gateway: gateway.pid, ...beside },
        load: along(wayThrough(gateway, jobs)),
      },
      {
        name: 'gateway, new jobs',
        processes: { gateway: gateway.pid, redis: gateway.redisPid, ...beside },
        load: along(wayThrough(gateway, 0)),
      },
      { name: floor, processes: beside, load: along(wayThrough(upstream, jobs)) },
    ]
    const naming = { operation: 'tunnel', operations: 'tunnels', latency: 'set-up' }
    return contestFigures(await contest(contenders, options), naming, floor)
  },
}
