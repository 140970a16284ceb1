// The targets of CONNECTs and of http:// URLs: whatever is taken reads the same in a strict second reading, is written in
// one spelling, and no special address passes the guard, however it is spelled.

import { isIP } from 'node:net'
import { isGatewayError } from '../../src/errors.ts'
import { formatTarget, parseAuthority, parseHttpUrl } from '../../src/routing/target.ts'
import { makeTargetGuard } from '../../src/routing/target-guard.ts'
import type { Target } from '../../src/types.ts'
import { inFewWords, type FuzzCase } from './fuzz-case.ts'
import { several, type Random } from './random.ts'
import { ipv6Hex, strictTarget } from './strict.ts'

const secret = 'hush-hush'

const words = [
  ':443', ':0443', ':65979', '@', `u:${secret}@`, '[', ']', '::', '.', '..', '%31', '%00', '0x7f', '0177', 'xn--',
  '169.254.169.254', '127.0.0.1', '127.1', '2130706433', 'localhost', '::ffff:', '64:ff9b::', '2002:', '/', '?', '#',
  '\\', '\t', ' ', '\r\n', '\0', '\xe9', '。', 'http://', '٤', '%25lo', 'fe80::1', '_',
] // prettier-ignore

function octet(random: Random): string {
  const number = random.pick([0, 1, 10, 127, 169, 192, 255, 256, random.int(300)])
  return random.pick([String(number), `0${number.toString(8)}`, `0x${number.toString(16)}`, String(number)])
}

function ipv4(random: Random): string {
  return Array.from({ length: random.pick([4, 4, 4, 4, 1, 2, 3, 5]) }, () => octet(random)).join('.')
}

function ipv6(random: Random): string {
  const group = () =>
    random.pick(['0', '1', 'ff9b', '64', 'ffff', 'fe80', '7f00', random.int(65_536).toString(16)])
  const groups = Array.from({ length: random.pick([8, 8, 2, 6, 7]) }, group)
  if (groups.length < 8 || random.chance(0.3)) groups.splice(random.int(groups.length), 1, '')
  const tail = random.chance(0.2) ? `:${ipv4(random)}` : ''
  const text = groups.join(':').replace(/^:/, '::') + tail
  return random.chance(0.1) ? text.toUpperCase() : text
}

function name(random: Random): string {
  const label = () =>
    random.pick([
      'bank',
      'example',
      'a',
      'localhost',
      'xn--nxasmq6b',
      'xn--',
      '_x',
      '-a',
      'a-',
      '1',
      '0x1',
      'a'.repeat(64),
    ])
  return Array.from({ length: 1 + random.int(4) }, label).join('.') + (random.chance(0.1) ? '.' : '')
}

function authority(random: Random): string {
  const host = random.pick([name, ipv4, (random: Random) => `[${ipv6(random)}]`, ipv6])(random)
  const port = random.pick([
    ':443',
    ':80',
    ':0',
    ':65536',
    ':00443',
    ':',
    '',
    ':4e2',
    ':+443',
    ':-1',
    `:${random.int(99_999)}`,
  ])
  const around = random.chance(0.1) ? several(random, 2, () => random.pick(words)) : ''
  return random.chance(0.5) ? `${around}${host}${port}` : `${host}${port}${around}`
}

const guard = makeTargetGuard({
  ports: 'any',
  deny: [],
  allowPrivate: false,
  ownListeners: () => [],
  localAddresses: () => [],
  fleet: () => [],
})

export const targets: FuzzCase = {
  name: 'targets',
  words,
  make: (random) => Buffer.from(authority(random), 'latin1'),

  run(input) {
    const text = input.toString('latin1')
    const read = attempt(() => parseAuthority(text), text)
    if ('refused' in read) return read.refused
    assertSame(text, read)
    if (!/[/?#\\]/.test(text)) assertUrl(text, read)
    return `${kindOf(read)}, ${assertGuarded(read)}`
  },
}

function attempt(parse: () => Target, text: string): Target | { readonly refused: string } {
  try {
    return parse()
  } catch (error) {
    if (!isGatewayError(error, 'bad_request')) throw error
    const { detail } = error.fields
    if (!/^[\x20-\x7e]{1,400}$/.test(detail)) throw new Error(`a detail that is no line of text: ${detail}`)
    if (text.includes(`${secret}@`) && detail.includes(secret))
      throw new Error(`a detail with a password: ${detail}`)
    return { refused: inFewWords(detail) }
  }
}

function assertSame(text: string, target: Target): void {
  const strict = strictTarget(text)
  const written = formatTarget(target)
  const again = strictTarget(written)
  if (strict === null) throw new Error(`taken as ${written}, though no strict reading takes it`)
  if (again?.host !== strict.host || again.port !== strict.port || target.port !== strict.port)
    throw new Error(`read as ${written}, strictly as ${strict.host} port ${strict.port}`)
  if (formatTarget(parseAuthority(written)) !== written)
    throw new Error(`${written} has another spelling yet`)
}

function assertUrl(text: string, target: Target): void {
  const { target: same, path } = parseHttpUrl(`http://${text}/a?b`)
  if (formatTarget(same) !== formatTarget(target) || path !== '/a?b')
    throw new Error(`in a URL it is ${formatTarget(same)} ${path}`)
}

/** Not by our own classifier: an address that is no public one must not pass. */
function assertGuarded(target: Target): string {
  let passes = true
  try {
    guard.checkName(target)
  } catch (error) {
    if (!isGatewayError(error, 'target_denied')) throw error
    passes = false
  }
  if (passes && isIP(target.host) !== 0 && !isPublic(target.host))
    throw new Error(`the guard lets ${target.host} pass`)
  return passes ? 'passes' : 'denied'
}

function isPublic(address: string): boolean {
  if (isIP(address) === 4) return isPublicIPv4(address.split('.').map(Number))
  const hex = ipv6Hex(address)!.slice(2)
  if (hex.startsWith(`${'0'.repeat(20)}ffff`))
    return isPublicIPv4(Buffer.from(hex.slice(24), 'hex').toJSON().data)
  const isUnicast = /^[23]/.test(hex)
  return isUnicast && !/^(2002|20010000|20010db8|3fff0)/.test(hex) && !/^.{16}0[02]005efe/.test(hex)
}

function isPublicIPv4([a = 0, b = 0, c = 0]: readonly number[]): boolean {
  if (a === 0 || a === 10 || a === 127 || a >= 224) return false
  if (a === 100 && b >= 64 && b < 128) return false
  if (a === 169 && b === 254) return false
  if (a === 172 && b >= 16 && b < 32) return false
  if (a === 192 && (b === 168 || (b === 0 && (c === 0 || c === 2)) || (b === 88 && c === 99))) return false
  return (
    !(a === 198 && (b === 18 || b === 19 || (b === 51 && c === 100))) && !(a === 203 && b === 0 && c === 113)
  )
}

function kindOf({ host }: Target): string {
  return { 0: 'name', 4: 'IPv4', 6: 'IPv6' }[isIP(host)]!
}
