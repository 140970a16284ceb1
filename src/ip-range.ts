// Addresses and CIDRs as numbers, into node:net's BlockList, and loopback. Imports nothing of ours.

import { isIP, isIPv4, isIPv6, type BlockList } from 'node:net'

/**
 * 128 bits as four numbers of 32, the highest first. An IPv4 address is the IPv6 address that maps it
 * (RFC 4291 section 2.5.5.2), so that the two cannot be told apart.
 */
export type Address = readonly [number, number, number, number]
export type Range = { readonly base: Address; readonly masks: Address }

/** @returns null where node:net takes it for no address; a zone (`%eth0`) is left out */
export function readAddress(spelling: string): Address | null {
  if (isIPv4(spelling)) return mapped(readIPv4(spelling))
  return isIPv6(spelling) ? readIPv6(spelling) : null
}

export function mapped(ipv4: number): Address {
  return [0, 0, 0xffff, ipv4]
}

export function isMapped(address: Address): boolean {
  return address[0] === 0 && address[1] === 0 && address[2] === 0xffff
}

/** @throws where `text` is neither an address nor a CIDR; bits beyond the prefix count for nothing */
export function readRange(text: string): Range {
  const [spelling = '', bits, ...more] = text.split('/')
  const address = readAddress(spelling)
  const width = isIPv4(spelling) ? 32 : 128
  const prefix = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
  if (address === null || more.length > 0 || !(prefix <= width))
    throw new Error(`${text} is no address or CIDR`)
  const masks = masksOf(128 - width + prefix)
  return { base: masked(address, masks), masks }
}

export function isWithin(address: Address, { base, masks }: Range): boolean {
  for (let word = 3; word >= 0; word--)
    if ((address[word]! & masks[word]!) !== (base[word]! | 0)) return false
  return true
}

/** @throws where `range` is neither an address nor a CIDR */
export function addRange(list: BlockList, range: string): void {
  const [address = '', bits] = range.split('/')
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN, family)
}

/** @param address  in its one spelling: an IPv4-mapped IPv6 address is not looked into */
export function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** Once node:net has taken them, what follows need not be careful. */
function readIPv4(text: string): number {
  let [address, part] = [0, 0]
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit >= 0) part = part * 10 + digit
    else [address, part] = [address * 256 + part, 0]
  }
  return address * 256 + part
}

function readIPv6(text: string): Address {
  const [front = '', back] = text.replace(/%.*$/, '').split('::')
  const [first, last] = [readGroups(front), readGroups(back ?? '')]
  const zeros = Array<number>(8 - first.length - last.length).fill(0)
  const groups = [...first, ...zeros, ...last]
  const word = (at: number) => groups[at]! * 0x1_0000 + groups[at + 1]!
  return [word(0), word(2), word(4), word(6)]
}

function readGroups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return Number.parseInt(group, 16)
    const ipv4 = readIPv4(group)
    return [ipv4 >>> 16, ipv4 & 0xffff]
  })
}

function masksOf(prefix: number): Address {
  const word = (at: number) => {
    const bits = Math.min(Math.max(prefix - at * 32, 0), 32)
    return bits === 0 ? 0 : -1 << (32 - bits)
  }
  return [word(0), word(1), word(2), word(3)]
}

function masked(address: Address, masks: Address): Address {
  const word = (at: number) => (address[at]! & masks[at]!) >>> 0
  return [word(0), word(1), word(2), word(3)]
}
