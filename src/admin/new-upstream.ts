// The two ways to a new upstream: register a machine that others made (`address`), or order one from the provider.
// Pure.

import { isIP } from 'node:net'
import Type, { type Static } from 'typebox'
import { ControlError, isGatewayError } from '../errors.ts'
import { canonicalIPv6 } from '../routing/host.ts'
import { parseAuthority } from '../routing/target.ts'
import type { Target } from '../types.ts'
import type { OrderedUpstream, RegisteredUpstream } from './control-parts.ts'
import { credentials, labels, name, nullable, zone } from './grammar.ts'
import { closed } from './shapes.ts'

const addressText = 'host:port, such as 10.0.0.5:8888, [::1]:8888 or proxy.internal:8888, without credentials'
const egressIpText = 'an IP address such as 203.0.113.7 or 2001:db8::7'

/** One object, so that a refusal names the field; what goes with what is told by the reader below. */
export const newUpstreamBody = closed({
  address: Type.Optional(Type.String({ maxLength: 300, description: addressText })),
  name: Type.Optional(nullable(name)),
  egressIp: Type.Optional(nullable(Type.String({ maxLength: 45, description: egressIpText }))),
  labels: Type.Optional(labels({ min: 0 })),
  credentials: Type.Optional(nullable(credentials)),
  zone: Type.Optional(nullable(zone)),
})
export type NewUpstreamBody = Static<typeof newUpstreamBody>

export type NewUpstreamRequest =
  | { readonly way: 'register'; readonly upstream: RegisteredUpstream }
  | { readonly way: 'order'; readonly order: OrderedUpstream }

const bothWays =
  'With "address" a machine that others made is registered (name, egressIp, labels and credentials may go with it); ' +
  'without it the provider makes one (labels and zone may go with that).'

/** @throws ControlError bad_request */
export function readNewUpstream(body: NewUpstreamBody): NewUpstreamRequest {
  const given = Object.entries(body).flatMap(([field, value]) => (value === null ? [] : [field]))
  if (body.address === undefined) {
    refuse(given, ['name', 'egressIp', 'credentials'], 'needs "address"')
    return { way: 'order', order: { labels: body.labels ?? null, zone: body.zone ?? null } }
  }
  refuse(given, ['zone'], 'does not go with "address"')
  return { way: 'register', upstream: registered(body, readAddress(body.address)) }
}

function refuse(given: readonly string[], unfit: readonly string[], why: string): void {
  const found = unfit.find((field) => given.includes(field))
  if (found !== undefined) throw new ControlError('bad_request', `Field "${found}" ${why}. ${bothWays}`)
}

function registered(body: NewUpstreamBody, { host, port }: Target): RegisteredUpstream {
  return {
    host,
    port,
    name: body.name ?? null,
    egressIp: readEgressIp(body.egressIp ?? null),
    labels: body.labels ?? {},
    credentials: body.credentials ?? null,
  }
}

/** What was given is not repeated: people paste user:password@host here. */
function readAddress(text: string): Target {
  try {
    return parseAuthority(text)
  } catch (error) {
    if (!isGatewayError(error, 'bad_request')) throw error
    throw new ControlError('bad_request', `Field "address" must be ${addressText}.`)
  }
}

/** In its one spelling, so that it compares. Zone ids name an interface of ours. */
function readEgressIp(text: string | null): string | null {
  if (text === null || isIP(text) === 4) return text
  if (isIP(text) === 6 && !text.includes('%')) return canonicalIPv6(text)
  throw new ControlError('bad_request', `Field "egressIp" must be ${egressIpText}.`)
}
