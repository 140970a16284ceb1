// Invariant 11: bytes arrive whole and in order, or the tunnel is reset; never silently cut.

import type { Faults } from './faults.ts'
import type { ClientRecord } from './records.ts'
import type { Findings } from './verdict.ts'

export function checkBytes(record: ClientRecord, faults: Faults, findings: Findings): void {
  const { flows, upstream, gateway, sentMs: fromMs, endedMs: toMs } = record
  for (const { expectedBytes, gotBytes, isPrefix, end } of flows) {
    const told = `${gotBytes} of ${expectedBytes ?? 'so many'} bytes of ${record.job}`
    if (!isPrefix) findings.violated(11, `${told} are not those that were sent`, record)
    else if (expectedBytes !== null && gotBytes > expectedBytes)
      findings.violated(11, `${told} came, more than were sent`, record)
    else if (end === 'end' && expectedBytes !== null && gotBytes < expectedBytes) {
      // The kernel of a dead process ends its connections in order; nobody is left who could reset them.
      const died =
        faults.isAny('upstream_died', { whom: upstream, fromMs, toMs }) ||
        faults.isAny('gateway_killed', { whom: gateway, fromMs, toMs })
      if (died) findings.excused('cut_by_a_death')
      else findings.violated(11, `${told} came, and an orderly end`, record)
    }
  }
}
