// What the demo saw, as a table, and as checks that can fail. Pure.

export type JobResult = {
  readonly job: string
  readonly lane: string
  readonly requests: number
  /** Names of upstreams, without repetition; one, if all is well. */
  readonly upstreams: readonly string[]
  /** Addresses that the target saw, without repetition. */
  readonly addresses: readonly string[]
}

export type Check = { readonly what: string; readonly holds: boolean; readonly seen: string }

export type Rules = { readonly [lane: string]: readonly string[] }

export function table(results: readonly JobResult[]): string {
  const rows = results.map(({ job, lane, requests, upstreams, addresses }) => [
    job,
    lane,
    String(requests),
    upstreams.join(' '),
    addresses.join(' '),
  ])
  return inColumns(['job', 'lane', 'requests', 'upstream', 'address seen by the target'], rows)
}

export function inColumns(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return [head, widths.map((width) => '-'.repeat(width)), ...rows].map(line).join('\n')
}

/**
 * @param allowed     upstreams that may serve each lane, by the rules
 * @param byAddress   whether each upstream has an address of its own here; without, they are told apart by name
 */
export function check(results: readonly JobResult[], allowed: Rules, byAddress: boolean): Check[] {
  const seenOf = (result: JobResult) => (byAddress ? result.addresses : result.upstreams)
  const wanderers = results.filter((result) => seenOf(result).length !== 1)
  const turns = Object.keys(allowed).map((lane) => countTurns(results, lane, allowed[lane]!))
  const strangers = results.filter(({ lane, upstreams }) =>
    upstreams.some((name) => !allowed[lane]?.includes(name)),
  )
  return [
    {
      what: byAddress ? 'each job was seen from one address' : 'each job went through one upstream',
      holds: results.length > 0 && wanderers.length === 0,
      seen: wanderers.length === 0 ? `${results.length} jobs` : wanderers.map(({ job }) => job).join(', '),
    },
    {
      what: 'turns are even: in a lane, jobs per upstream differ by at most one',
      holds: turns.every((counts) => Math.max(...counts.values()) - Math.min(...counts.values()) <= 1),
      seen: turns
        .map((counts) => [...counts].map(([name, jobs]) => `${name}: ${jobs}`).join(', '))
        .join(' | '),
    },
    {
      what: 'the rules were kept: no lane used an upstream that is not for it',
      holds: strangers.length === 0,
      seen:
        strangers.length === 0
          ? Object.entries(allowed)
              .map(([lane, names]) => `${lane} -> ${names.join(' ')}`)
              .join(' | ')
          : strangers.map(({ job }) => job).join(', '),
    },
  ]
}

function countTurns(
  results: readonly JobResult[],
  lane: string,
  upstreams: readonly string[],
): Map<string, number> {
  const counts = new Map(upstreams.map((name) => [name, 0]))
  for (const result of results) {
    if (result.lane !== lane) continue
    for (const name of result.upstreams) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}

export function describeChecks(checks: readonly Check[]): string {
  return checks.map(({ what, holds, seen }) => `${holds ? 'ok  ' : 'FAIL'}  ${what} (${seen})`).join('\n')
}
