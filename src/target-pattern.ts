// A pattern of targets: `bank.example`, `*.bank.example` (any depth below it, not itself), an address or a CIDR. Pure.

import { readAddress, readRange } from './ip-range.ts'

const maxNameChars = 253

/**
 * @returns its one spelling: lower case, no dot at the end; null for what no target could ever match (the gateway takes
 *   names in ASCII only, so one in Unicode stands here in its xn-- form)
 */
export function targetPatternOf(text: string): string | null {
  const pattern = text.toLowerCase()
  if (isRange(pattern)) return pattern
  const name = pattern.replace(/\.$/, '')
  return isName(name.startsWith('*.') ? name.slice(2) : name) ? name : null
}

/** A zone id (`%eth0`) names an interface of ours; a target cannot have one. */
function isRange(pattern: string): boolean {
  if (/[^0-9a-f:./]/.test(pattern)) return false
  if (!pattern.includes('/')) return readAddress(pattern) !== null
  try {
    readRange(pattern)
    return true
  } catch {
    return false
  }
}

/** As routing/host.ts takes them: 127.1 and 0x7f.1 are addresses to some, so they are names to nobody. */
function isName(name: string): boolean {
  const labels = name.split('.')
  return (
    name.length <= maxNameChars &&
    labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) &&
    !/^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1)!)
  )
}
