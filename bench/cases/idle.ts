// What does a tunnel cost that is open and silent? Memory of the gateway for each, and the CPU that all of them
// take while nothing happens. Each round is a gateway of its own, since freed memory stays with a process.

import { setTimeout as delay } from 'node:timers/promises'
import type { BenchCase } from '../fixtures/case.ts'
import { startChild } from '../fixtures/child.ts'
import { startFleet, type Fleet } from '../fixtures/gateway.ts'
import { cpuUs, residentKb } from '../fixtures/process-usage.ts'
import type { Scope } from '../fixtures/scope.ts'
import type { TargetPorts } from '../fixtures/target-process.ts'
import type { OpenQuestion } from '../fixtures/tunnel-load.ts'
import { startUpstream } from '../fixtures/upstream.ts'

const settings = { upstream: 'stub', tunnels: 2000, jobs: 1000, firstTunnels: 100 } as const
/** A gateway start each. */
const maxRounds = 3

export const idle: BenchCase = {
  name: 'idle',
  question: 'What does a tunnel cost that is open and silent?',
  settings,

  async run({ scope, rounds, seconds }) {
    const { ready } = await startChild<TargetPorts>(
      scope,
      new URL('../fixtures/target-process.ts', import.meta.url),
    )
    const upstream = await startUpstream(scope, settings.upstream)
    const fleet = await startFleet(scope, upstream)
    const measured = []
    for (let round = 0; round < Math.min(rounds, maxRounds); round++) {
      scope.signal.throwIfAborted()
      measured.push(await openAndWait(scope, fleet, `127.0.0.1:${ready.exchangePort}`, seconds))
    }
    return [
      {
        name: 'gateway: memory per tunnel',
        unit: 'KiB',
        better: 'less',
        values: measured.map(({ kb }) => kb / settings.tunnels),
      },
      {
        name: `gateway: CPU with ${settings.tunnels} idle tunnels`,
        unit: 'ms/s',
        better: 'less',
        values: measured.map(({ idleUs }) => idleUs / 1000 / seconds),
      },
    ]
  },
}

async function openAndWait(scope: Scope, fleet: Fleet, target: string, seconds: number) {
  const gateway = await fleet.startGateway()
  const load = await startChild(scope, new URL('../fixtures/tunnel-load.ts', import.meta.url))
  const way = { proxyPort: gateway.port, target, jobs: settings.jobs }
  const open = (count: number) => load.ask('open', { way, count } satisfies OpenQuestion)
  // Code that is loaded and compiled with the first tunnels is not theirs.
  await open(settings.firstTunnels)
  const beforeKb = residentKb(gateway.pid)
  await open(settings.tunnels)
  const kb = residentKb(gateway.pid) - beforeKb
  const beforeUs = cpuUs(gateway.pid)
  await delay(seconds * 1000, undefined, { signal: scope.signal })
  const idleUs = cpuUs(gateway.pid) - beforeUs
  await load.ask('close')
  return { kb, idleUs }
}
