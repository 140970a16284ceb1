// May this target be reached? Ports, metadata servers, our own listeners, the fleet's proxies, what `targets.deny`
// names, special addresses and private names. Pure: addresses of a name are handed in. First the name as asked for,
// then every address that it stands for (design 4). Hostile inputs, section 2.5, has the cases.

import { GatewayError } from '../errors.ts'
import { isWithin, mapped, readAddress, readRange, type Address } from '../ip-range.ts'
import type { Target } from '../types.ts'
import { quoted } from './quoted.ts'
import { embeddedIPv4, specialRange } from './special-addresses.ts'
import { isLoopbackName, isMetadataName, makeTargetPatterns, privateName } from './target-names.ts'
import { formatTarget } from './target.ts'

/** Read at each use: a reload may change ports, deny and allowPrivate. */
type Options = {
  readonly ports: readonly number[] | 'any'
  /** Names, `*.names`, addresses and CIDRs that are never reached. */
  readonly deny: readonly string[]
  /** Lifts address ranges and name suffixes, never what is refused here. */
  readonly allowPrivate: boolean
  readonly ownListeners: () => readonly Target[]
  /** The addresses of this machine's interfaces. */
  readonly localAddresses: () => readonly string[]
  /** Where the other gateways listen; the same array while nothing changed. */
  readonly gateways?: () => readonly Target[]
  /** Where upstreams are dialled, inside and by what targets see. The same array while nothing changed: it is read once. */
  readonly fleet: () => readonly (Target & { readonly egressIp?: string | null })[]
}

export type TargetGuard = {
  /** @throws GatewayError target_denied */
  checkName(target: Target): void
  /** @throws GatewayError target_denied */
  checkAddress(address: string, target: Target): void
}

/** They give a machine's own credentials to whoever asks it. Any other 169.254.x.y is refused as link-local. */
const metadataAddresses: ReadonlySet<string> = new Set(
  [
    '169.254.169.254', // nearly all clouds
    '169.254.169.252', // Google Kubernetes Engine, per node
    '169.254.170.2', // AWS, per container
    '169.254.170.23', // AWS, per pod
    '169.254.42.42', // Scaleway
    '169.254.0.23', // Tencent
    '168.63.129.16', // Azure's wire server; public by its number
    '100.100.100.200', // Alibaba
    '192.0.0.192', // Oracle
    'fd20:ce::254', // Compute Engine
    'fd00:ec2::254', // AWS
    'fd00:ec2::23', // AWS, per pod
    'fd00:c1::a9fe:a9fe', // Oracle
    'fd00:42::42', // Scaleway
    'fe80::a9fe:a9fe', // OpenStack
  ].map((address) => keyOf(readAddress(address)!)),
)

/** Tinyproxy answers this name with its own page (its StatHost unless configured), by CONNECT too. */
const statsName = 'tinyproxy.stats'

export function makeTargetGuard(options: Options): TargetGuard {
  const { ownListeners, localAddresses } = options
  const fleetIndex = makeIndex(options.fleet)
  const gatewayIndex = makeIndex(options.gateways ?? (() => none))
  let denyRead = options.deny
  let denyPatterns = makeTargetPatterns(denyRead)

  function deny() {
    if (options.deny === denyRead) return denyPatterns
    denyRead = options.deny
    denyPatterns = makeTargetPatterns(denyRead)
    return denyPatterns
  }

  function checkName(target: Target): void {
    checkPort(target, options.ports)
    const { host } = target
    const address = readAddress(host)
    if (address) return check(address, target)
    if (isMetadataName(host)) throw prohibited(metadataDetail(target))
    if (host === statsName) throw denied(`${host} is the upstream's own page, not a target.`)
    if (deny().hasName(host)) throw denied(denyDetail(target))
    if (fleetIndex().targets.has(formatTarget(target))) throw prohibited(fleetDetail(target))
    if (isLoopbackName(host)) checkAlways(loopback, target)
    const why = options.allowPrivate ? null : privateName(host)
    if (why !== null) throw prohibited(privateNameDetail(target, why))
  }

  function checkAddress(spelling: string, target: Target): void {
    const address = readAddress(spelling)
    if (address === null) throw prohibited(`${quoted(target.host)} leads to what is no address.`)
    check(address, target)
  }

  /** An IPv4 address inside an IPv6 one is where a translator would lead, so it must pass too. */
  function check(address: Address, target: Target): void {
    checkAlways(address, target)
    const inner = embeddedIPv4(address)
    if (inner) checkAlways(inner, target)
    const range = options.allowPrivate ? null : specialRange(address)
    if (range !== null) throw prohibited(rangeDetail(target, range))
  }

  /** What no setting opens. */
  function checkAlways(address: Address, target: Target): void {
    const { port } = target
    const upstreams = fleetIndex()
    if (metadataAddresses.has(keyOf(address))) throw prohibited(metadataDetail(target))
    if (deny().hasAddress(address)) throw prohibited(denyDetail(target))
    if (upstreams.targets.has(targetKey(address, port))) throw prohibited(fleetDetail(target))
    if (gatewayIndex().targets.has(targetKey(address, port))) throw loop(target)
    // The interfaces are read only where it matters.
    if (ownListeners().some((listener) => listener.port === port) && isLocal(address)) throw loop(target)
    // Behind an upstream, a local address is the upstream's own machine.
    if (upstreams.ports.has(port) && isLocal(address)) throw prohibited(fleetDetail(target))
  }

  function isLocal(address: Address): boolean {
    if (localRanges.some((range) => isWithin(address, range))) return true
    const key = keyOf(address)
    return localAddresses().some((local) => {
      const its = readAddress(local)
      return its !== null && keyOf(its) === key
    })
  }

  return { checkName, checkAddress }
}

const loopback = mapped(0x7f00_0001)
/** To connect to an unspecified address is to connect to oneself. */
const localRanges = ['127.0.0.0/8', '::1', '0.0.0.0', '::'].map(readRange)

const none: readonly Target[] = []

/** Ten thousand upstreams are read once per snapshot, not once per request. */
function makeIndex(list: Options['fleet']) {
  let read: ReturnType<Options['fleet']> | null = null
  let index = { targets: new Set<string>(), ports: new Set<number>() }

  return () => {
    const targets = list()
    if (targets === read) return index
    read = targets
    index = { targets: new Set(), ports: new Set() }
    for (const { host, port, egressIp } of targets) {
      index.ports.add(port)
      index.targets.add(hostKey(host, port))
      if (egressIp) index.targets.add(hostKey(egressIp, port))
    }
    return index
  }
}

function hostKey(host: string, port: number): string {
  const address = readAddress(host)
  return address ? targetKey(address, port) : formatTarget({ host: host.toLowerCase(), port })
}

/** Like no name. */
function targetKey(address: Address, port: number): string {
  return `${keyOf(address)}:${port}`
}

function keyOf(address: Address): string {
  return address.join()
}

function checkPort(target: Target, ports: Options['ports']): void {
  if (ports === 'any' || ports.includes(target.port)) return
  throw denied(
    `Port ${target.port} is not allowed; allowed: ${ports.join(', ')}. See the setting targets.ports (TARGET_PORTS).`,
  )
}

function metadataDetail({ host }: Target): string {
  return `${quoted(host)} is the cloud's metadata server, which no setting opens.`
}

function fleetDetail(target: Target): string {
  return `${quoted(formatTarget(target))} is an upstream of this fleet, which no setting opens as a target.`
}

function denyDetail({ host }: Target): string {
  return `${quoted(host)} is a target that is never reached here. See the setting targets.deny.`
}

function rangeDetail({ host }: Target, range: string): string {
  return `${quoted(host)} leads to an address that is not public (${range}). See the setting targets.allowPrivate.`
}

function privateNameDetail({ host }: Target, why: string): string {
  return `${quoted(host)} is a name of private networks (${why}). See the setting targets.allowPrivate.`
}

/** By what was asked for. */
function denied(detail: string): GatewayError {
  return new GatewayError('target_denied', { detail })
}

/** Where the way would come back to us. */
function loop(target: Target): GatewayError {
  const detail = `${quoted(formatTarget(target))} leads back to Lanekeeper itself, which no setting opens as a target.`
  return new GatewayError('target_denied', { detail, token: 'proxy_loop_detected' })
}

/** By where it leads. */
function prohibited(detail: string): GatewayError {
  return new GatewayError('target_denied', { detail, token: 'destination_ip_prohibited' })
}
