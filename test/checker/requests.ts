// I16 of hostile-inputs: a request that a gateway took ends in exactly one line, `tunnel_closed` or `request_refused`.
// Request ids are `<process>-<number>`, so two bits for each are enough, however many there are.

import type { Faults } from './faults.ts'
import type { Fault, GatewayLine, Settings } from './records.ts'
import type { Findings } from './verdict.ts'

const opened = 1
const ended = 2

type Process = { readonly gateway: string; readonly prefix: string; states: Uint8Array; open: number }

export function makeRequests({
  settings,
  faults,
  findings,
}: {
  readonly settings: Settings
  readonly faults: Faults
  readonly findings: Findings
}) {
  const processes = new Map<string, Process>()
  const openOf = new Map<Process, Map<number, GatewayLine>>()

  function processOf(gateway: string, prefix: string): Process {
    const key = `${gateway} ${prefix}`
    let found = processes.get(key)
    if (!found) {
      processes.set(key, (found = { gateway, prefix, states: new Uint8Array(1024), open: 0 }))
      openOf.set(found, new Map())
    }
    return found
  }

  function read(process: Process, number: number): number {
    return ((process.states[number >> 2] ?? 0) >> ((number & 3) * 2)) & 3
  }

  function write(process: Process, number: number, bits: number): void {
    const place = number >> 2
    if (place >= process.states.length) {
      const larger = new Uint8Array(Math.max(place + 1, process.states.length * 2))
      larger.set(process.states)
      process.states = larger
    }
    process.states[place] = process.states[place]! | (bits << ((number & 3) * 2))
  }

  return {
    line(line: GatewayLine): void {
      const { name, gateway, requestId } = line
      const opens = name === 'tunnel_opened'
      if (requestId === undefined || !(opens || name === 'tunnel_closed' || name === 'request_refused'))
        return
      const dash = requestId.lastIndexOf('-')
      const process = processOf(gateway, requestId.slice(0, dash))
      const number = Number(requestId.slice(dash + 1))
      if (!Number.isInteger(number) || number < 0) return findings.undecided('request ids without a number')
      const state = read(process, number)
      const isWrong = opens ? state !== 0 : (state & ended) !== 0
      if (isWrong) findings.violated('answers', `request ${requestId} is told of once more: ${name}`, line)
      if (name === 'tunnel_closed' && (state & opened) === 0)
        findings.violated('answers', `request ${requestId} was closed, and never opened`, line)
      const open = openOf.get(process)!
      if (opens) open.set(number, line)
      else open.delete(number)
      write(process, number, opens ? opened : ended)
    },

    /** Who was killed says no more. */
    gatewayKilled({ whom }: Fault): void {
      for (const [process, open] of openOf) if (whom === null || process.gateway === whom) open.clear()
    },

    end(): void {
      if (!settings.isOver) return
      for (const [{ gateway }, open] of openOf)
        for (const line of open.values())
          if (!faults.isAny('gateway_killed', { whom: gateway, fromMs: line.atMs, toMs: Infinity }))
            findings.violated('answers', `request ${line.requestId} never ended`, line)
    },
  }
}
