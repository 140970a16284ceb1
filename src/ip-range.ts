// Addresses and CIDRs into node:net's BlockList, and loopback. Imports nothing of ours.

import { isIP, type BlockList } from 'node:net'

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
