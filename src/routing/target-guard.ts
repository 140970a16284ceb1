// May this target be reached? Ports, the metadata server, our own listeners, the fleet's proxies. Pure: addresses
// of a name are handed in. First the name as asked for, then every address that it stands for (design 4).

import { isIP } from 'node:net'
import { GatewayError } from '../errors.ts'
import { isLoopback } from '../ip-range.ts'
import type { Target } from '../types.ts'
import { canonicalIPv6 } from './host.ts'
import { quoted } from './quoted.ts'
import { formatTarget } from './target.ts'

type Options = {
  readonly ports: readonly number[] | 'any'
  /** Names, `*.names`, addresses and CIDRs that are never reached. */
  readonly deny: readonly string[]
  /** Lifts address ranges and name suffixes, never what is refused here. */
  readonly allowPrivate: boolean
  readonly ownListeners: () => readonly Target[]
  /** The addresses of this machine's interfaces. */
  readonly localAddresses: () => readonly string[]
  /** Where upstreams are dialled. The same array while nothing changed, so that it is read once. */
  readonly fleet: () => readonly Target[]
}

export type TargetGuard = {
  /** @throws GatewayError target_denied */
  checkName(target: Target): void
  /** @throws GatewayError target_denied */
  checkAddress(address: string, target: Target): void
}

/** They give a VM's own credentials to whoever asks; Compute Engine, and what other clouds use too. */
const metadataNames: ReadonlySet<string> = new Set(['metadata.google.internal', 'metadata'])
const metadataAddresses: ReadonlySet<string> = new Set(['169.254.169.254', 'fd20:ce::254'])

/** Tinyproxy answers this name with its own page (its StatHost unless configured), by CONNECT too. */
const statsName = 'tinyproxy.stats'

export function makeTargetGuard({ ports, ownListeners, localAddresses, fleet }: Options): TargetGuard {
  const fleetIndex = makeFleetIndex(fleet)

  function checkName(target: Target): void {
    checkPort(target, ports)
    const { host } = target
    if (metadataNames.has(host)) throw denied(metadataDetail(target))
    if (host === statsName) throw denied(`${host} is the upstream's own page, not a target.`)
    if (fleetIndex().addresses.has(formatTarget(target))) throw denied(fleetDetail(target))
    if (isLoopbackName(host)) checkAddress('127.0.0.1', target)
    else if (isIP(host)) checkAddress(host, target)
  }

  function checkAddress(spelling: string, target: Target): void {
    const address = canonicalAddress(spelling)
    if (metadataAddresses.has(address)) throw prohibited(metadataDetail(target))
    if (fleetIndex().addresses.has(formatTarget({ host: address, port: target.port })))
      throw prohibited(fleetDetail(target))
    if (isTaken(target.port) && isLocal(address)) throw prohibited(loopDetail(target))
    // Here come the prohibited address ranges and name suffixes, which `allowPrivate` lifts.
  }

  /** A port that we listen on, or that upstreams do: behind one, a local address is the upstream's own machine. */
  function isTaken(port: number): boolean {
    return fleetIndex().ports.has(port) || ownListeners().some((listener) => listener.port === port)
  }

  function isLocal(address: string): boolean {
    return (
      isLoopback(address) ||
      unspecified.has(address) ||
      localAddresses().some((local) => canonicalAddress(local) === address)
    )
  }

  return { checkName, checkAddress }
}

/** Ten thousand upstreams are read once per snapshot, not once per request. */
function makeFleetIndex(fleet: () => readonly Target[]) {
  let read: readonly Target[] | null = null
  let index = { addresses: new Set<string>(), ports: new Set<number>() }

  return () => {
    const targets = fleet()
    if (targets === read) return index
    read = targets
    index = {
      addresses: new Set(
        targets.map(({ host, port }) => formatTarget({ host: canonicalAddress(host), port })),
      ),
      ports: new Set(targets.map(({ port }) => port)),
    }
    return index
  }
}

function checkPort(target: Target, ports: Options['ports']): void {
  if (ports === 'any' || ports.includes(target.port)) return
  throw denied(
    `Port ${target.port} is not allowed; allowed: ${ports.join(', ')}. See the setting targets.ports (TARGET_PORTS).`,
  )
}

const unspecified: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** RFC 6761 section 6.3: these never mean another machine, whoever resolves them. */
function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost')
}

/** One spelling per address; an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is its IPv4. Names in lower case. */
function canonicalAddress(spelling: string): string {
  if (isIP(spelling) !== 6) return spelling.toLowerCase()
  const address = canonicalIPv6(spelling.replace(/%.*$/, ''))
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address)
  if (!mapped) return address
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function metadataDetail({ host }: Target): string {
  return `${quoted(host)} is the cloud's metadata server, which no setting opens.`
}

function fleetDetail(target: Target): string {
  return `${quoted(formatTarget(target))} is an upstream of this fleet, which no setting opens as a target.`
}

function loopDetail(target: Target): string {
  return `${quoted(formatTarget(target))} leads back to this machine, on a port that Lanekeeper or an upstream listens on.`
}

/** By what was asked for. */
function denied(detail: string): GatewayError {
  return new GatewayError('target_denied', { detail })
}

/** By where it leads. */
function prohibited(detail: string): GatewayError {
  return new GatewayError('target_denied', { detail, token: 'destination_ip_prohibited' })
}
