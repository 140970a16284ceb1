// Compute Engine's JSON <-> our words: names, labels, states. Pure.
//
// Labels of ours are GCE labels, one for one. Metadata would have room for any text, but an insert from a template lays its
// body over the template by RFC 7396: maps (labels) are joined, lists (metadata.items) replaced, so that one metadata item
// of ours would cost the template's startup script.

import type { Labels } from '../types.ts'
import {
  ProviderError,
  type Draft,
  type DraftRequest,
  type Instance,
  type InstanceStatus,
} from './provider.ts'

export type GceNaming = {
  readonly fleet: string
  readonly zones: readonly string[]
  /** Machines are called `<namePrefix>-<fleet>-<suffix>`. */
  readonly namePrefix: string
  /** Of each machine that is made. */
  readonly labels: Labels
  /** The name of the credential that their Tinyproxies ask for. */
  readonly credentials: string | null
}

export type GceReading = {
  readonly fleet: string
  readonly port: number
  /** The address at which gateways reach a machine. */
  readonly address: 'internal' | 'external'
  readonly credentials: string | null
}

/** What is read of an instance. @see https://cloud.google.com/compute/docs/reference/rest/v1/instances */
export type GceInstance = {
  readonly id?: unknown
  readonly name?: string | null
  readonly status?: unknown
  readonly labels?: { readonly [key: string]: string } | null
  readonly creationTimestamp?: string | null
  readonly networkInterfaces?: readonly GceInterface[] | null
}

type GceInterface = {
  readonly networkIP?: string | null
  readonly accessConfigs?: readonly { readonly natIP?: string | null }[] | null
}

/** Which fleet it belongs to. */
export const fleetLabel = 'lanekeeper-fleet'
/** Which upstream it is; on machines that we made. */
export const upstreamLabel = 'lanekeeper-upstream'
const ownPrefix = 'lanekeeper-'

const nameGrammar = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/
const labelKey = /^[a-z][a-z0-9_-]{0,62}$/
const labelValue = /^[a-z0-9_-]{0,63}$/
/** 64, less our two. */
const mostLabels = 62

/** A state that is new to us counts as `starting`: it gets no jobs, and is not taken for gone. */
const statuses: { readonly [status: string]: InstanceStatus } = {
  PENDING: 'starting',
  PROVISIONING: 'starting',
  STAGING: 'starting',
  REPAIRING: 'starting',
  RUNNING: 'running',
  PENDING_STOP: 'ending',
  STOPPING: 'ending',
  SUSPENDING: 'ending',
  DEPROVISIONING: 'ending',
  SUSPENDED: 'stopped',
  STOPPED: 'stopped',
  TERMINATED: 'stopped',
}

export function isGceName(text: string): boolean {
  return nameGrammar.test(text)
}

/** @throws ProviderError refused */
export function draftOf(request: DraftRequest, naming: GceNaming): Draft {
  const { fleet, namePrefix, credentials } = naming
  const zone = zoneFor(request, naming.zones)
  const name = `${namePrefix}-${fleet}-${request.suffix}`
  if (!isGceName(name)) {
    throw new ProviderError(
      'refused',
      `"${name}" is no name for a machine on Compute Engine (at most 63 of a-z, 0-9 and -); choose another gce.namePrefix or FLEET.`,
    )
  }
  const labels = { ...naming.labels, ...request.labels }
  refuseLabels(labels)
  return { id: name, name, zone, labels, credentials }
}

/** With our own two. */
export function gceLabels({ id, labels }: Pick<Draft, 'id' | 'labels'>, fleet: string): Labels {
  return { ...labels, [fleetLabel]: fleet, [upstreamLabel]: id }
}

/** Whichever name or URL of it is given. */
export function templatePath(template: string): string {
  return template.includes('/') ? template : `global/instanceTemplates/${template}`
}

export function instanceOf(found: GceInstance, zone: string, reading: GceReading): Instance {
  const { port, address, credentials } = reading
  const name = found.name ?? ''
  const { internal, external } = addressesOf(found)
  return {
    id: idOf(found),
    name,
    host: (address === 'internal' ? internal : external) ?? '',
    port,
    egressIp: external,
    labels: labelsOf(found),
    credentials,
    zone,
    incarnation: numberOf(found),
    status: statuses[String(found.status)] ?? 'starting',
    createdAtMs: millisecondsOf(found.creationTimestamp),
  }
}

/** The name, for a machine that others made. */
export function idOf(found: GceInstance): string {
  return found.labels?.[upstreamLabel] || (found.name ?? '')
}

/** Made or adopted by this fleet. */
export function isOfFleet(found: GceInstance, fleet: string): boolean {
  return found.labels?.[fleetLabel] === fleet
}

/** Its number, as text: it is beyond what a number holds. */
export function numberOf({ id }: GceInstance): string | null {
  return id === undefined || id === null ? null : String(id)
}

/** Its addresses come with time; one that has no access config gets no external one. */
export function hasAddresses(found: GceInstance): boolean {
  const { internal, external } = addressesOf(found)
  const wantsExternal = accessOf(found) !== undefined
  return internal !== null && (external !== null || !wantsExternal)
}

function addressesOf(found: GceInstance) {
  return {
    internal: found.networkInterfaces?.[0]?.networkIP || null,
    external: accessOf(found)?.natIP || null,
  }
}

function accessOf(found: GceInstance) {
  return found.networkInterfaces?.[0]?.accessConfigs?.[0]
}

function labelsOf(found: GceInstance): Labels {
  const entries = Object.entries(found.labels ?? {}).filter(([key]) => !key.startsWith(ownPrefix))
  return Object.fromEntries(entries)
}

function millisecondsOf(timestamp: string | null | undefined): number | null {
  const ms = Date.parse(timestamp ?? '')
  return Number.isNaN(ms) ? null : ms
}

/** The first of those with the fewest machines. */
function zoneFor({ zone, standing }: DraftRequest, zones: readonly string[]): string {
  if (zone !== null && zones.includes(zone)) return zone
  if (zone !== null) {
    throw new ProviderError('refused', `The zone "${zone}" is none of gce.zones (${zones.join(', ')}).`)
  }
  const countIn = (place: string) => standing.filter((machine) => machine.zone === place).length
  const [first, ...others] = zones
  if (first === undefined) throw new ProviderError('refused', 'There is no zone in gce.zones.')
  return others.reduce((fewest, place) => (countIn(place) < countIn(fewest) ? place : fewest), first)
}

function refuseLabels(labels: Labels): void {
  const entries = Object.entries(labels)
  const wrong = entries.find(([key, value]) => !labelKey.test(key) || !labelValue.test(value))
  const own = entries.find(([key]) => key.startsWith(ownPrefix))
  const refuse = (why: string) => {
    throw new ProviderError('refused', `Compute Engine cannot keep these labels: ${why}.`)
  }
  if (wrong) {
    const [key, value] = wrong
    refuse(
      `"${key}: ${value}" must be of a-z, 0-9, _ and -, at most 63 long, the key beginning with a letter`,
    )
  }
  if (own) refuse(`"${own[0]}" begins with ${ownPrefix}, which is ours`)
  if (entries.length > mostLabels) refuse(`they are ${entries.length}, and ${mostLabels} is the most`)
}
