// What does a plain http:// request of a known job cost on its way through the gateway? autocannon on kept-alive
// connections; each request takes a tunnel of its own to a real Tinyproxy, as the gateway always does it.
// The floor is the target itself without any proxy: Tinyproxy serves one request per connection, so
// autocannon cannot be pointed at it.

import type { BenchCase } from '../fixtures/case.ts'
import { startChild } from '../fixtures/child.ts'
import { contest, contestFigures } from '../fixtures/contest.ts'
import { floor } from '../fixtures/floor.ts'
import { startGateway } from '../fixtures/gateway.ts'
import type { RequestsQuestion } from '../fixtures/http-load.ts'
import type { Load } from '../fixtures/load.ts'
import type { TargetPorts } from '../fixtures/target-process.ts'
import { startUpstream } from '../fixtures/upstream.ts'

const settings = { upstream: 'tinyproxy', connections: 32, jobs: 32, answerBytes: 200 } as const

export const plainHttp: BenchCase = {
  name: 'plain-http',
  question: 'What does a plain http:// request of a known job cost?',
  settings,

  async run(options) {
    const { scope } = options
    const target = await startChild<TargetPorts>(
      scope,
      new URL('../fixtures/target-process.ts', import.meta.url),
    )
    const upstream = await startUpstream(scope, settings.upstream)
    const gateway = await startGateway(scope, upstream)
    const load = await startChild(scope, new URL('../fixtures/http-load.ts', import.meta.url))
    const { connections, jobs } = settings
    const url = `http://127.0.0.1:${target.ready.httpPort}/`
    const through = (port: number) => (seconds: number) =>
      load.ask<Load>('requests', { port, url, jobs, connections, seconds } satisfies RequestsQuestion)

    const rounds = await contest(
      [
        {
          name: 'gateway',
          processes: { gateway: gateway.pid, upstream: upstream.pid, load: load.pid },
          load: through(gateway.port),
        },
        { name: floor, processes: { load: load.pid }, load: through(target.ready.httpPort) },
      ],
      options,
    )
    const naming = { operation: 'request', operations: 'requests', latency: 'answer' }
    return contestFigures(rounds, naming, floor)
  },
}
