// How many bytes per second go through tunnels, and what does a megabyte cost? Up and down, a few tunnels at once.
// The floor is the same load through the same upstream without the gateway. 1 MB is 1,000,000 bytes.

import type { BenchCase } from '../fixtures/case.ts'
import { contest, contestFigures } from '../fixtures/contest.ts'
import { floor } from '../fixtures/floor.ts'
import { headBytes } from '../fixtures/exchange.ts'
import type { Load } from '../fixtures/load.ts'
import type { ExchangesQuestion, OpenQuestion } from '../fixtures/tunnel-load.ts'
import { startTunnelRoad } from '../fixtures/tunnel-road.ts'

const settings = { upstream: 'stub', tunnels: 4, transferMb: 8 } as const

const transferBytes = settings.transferMb * 1_000_000
/** The other way goes the question, or one byte that says that all has arrived. */
const directions = {
  up: { up: transferBytes, down: 1 },
  down: { up: headBytes, down: transferBytes },
}

export const bulk: BenchCase = {
  name: 'bulk',
  question: 'How many bytes per second go through tunnels, and what does a megabyte cost?',
  settings,

  async run(options) {
    const { gateway, upstream, startLoad, wayThrough } = await startTunnelRoad(
      options.scope,
      settings.upstream,
    )
    const { tunnels, transferMb } = settings
    const loads = { gateway: await startLoad(), [floor]: await startLoad() }
    for (const [name, proxy] of [
      ['gateway', gateway],
      [floor, upstream],
    ] as const) {
      const question: OpenQuestion = { way: wayThrough(proxy, tunnels), count: tunnels }
      await loads[name].ask('open', question)
    }

    const figures = []
    for (const [direction, exchange] of Object.entries(directions)) {
      const along = (name: keyof typeof loads) => (seconds: number) =>
        loads[name].ask<Load>('exchanges', { seconds, exchange } satisfies ExchangesQuestion)
      const contenders = [
        {
          name: 'gateway',
          processes: { gateway: gateway.pid, upstream: upstream.pid, load: loads.gateway.pid },
          load: along('gateway'),
        },
        { name: floor, processes: { upstream: upstream.pid, load: loads[floor].pid }, load: along(floor) },
      ]
      const naming = { operation: `MB ${direction}`, operations: `MB ${direction}`, each: transferMb }
      figures.push(...contestFigures(await contest(contenders, options), naming, floor))
    }
    return figures
  },
}
