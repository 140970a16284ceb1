// The address at which a target saw a job: that of its upstream, as gateway, ledger and everybody before saw it.

import type { History } from './history.ts'
import type { ClientRecord } from './records.ts'
import type { Findings } from './verdict.ts'

/** @returns to be asked of each answer, with the address that the gateway's line tells */
export function makeAddresses(history: History, findings: Findings) {
  const addressOf = new Map<string, string>()
  return (record: ClientRecord, upstream: string, told: string | null | undefined): void => {
    const { address, egressIp } = record
    if (address === null) return
    const known = addressOf.get(upstream) ?? history.egressIp(upstream) ?? address
    addressOf.set(upstream, known)
    const other = [known, egressIp, told].find((said) => said != null && said !== address)
    if (other !== undefined)
      findings.violated(
        1,
        `${record.job} went out by ${address}, its upstream ${upstream} has ${other}`,
        record,
      )
  }
}
