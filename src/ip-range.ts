// Addresses and CIDRs into node:net's BlockList. Imports nothing of ours.

import { isIP, type BlockList } from 'node:net'

/** @throws where `range` is neither an address nor a CIDR */
export function addRange(list: BlockList, range: string): void {
  const [address = '', bits] = range.split('/')
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN, family)
}
