// lanekeeper upstreams create|drain|cancel|recycle|delete: into the fleet and out of it again. What takes long has only
// begun with the API's answer; --wait follows it.

import type { Ask } from '../ask-each.ts'
import { changeUpstreams } from '../change-upstreams.ts'
import { command } from '../command.ts'
import {
  argument,
  duration,
  id,
  labels,
  option,
  repeatable,
  someOf,
  text,
  toggle,
  wholeNumber,
  type ValuesOf,
} from '../flags.ts'
import type { Changed, Upstream } from '../shapes.ts'
import { cell, count, record } from '../table.ts'
import { until, untilReplaced } from '../wait-upstreams.ts'
import { waitFlags } from '../waiting.ts'
import { changeFlags } from '../with-api.ts'

const one = { id: argument('the id of the upstream, as upstreams list shows it', id) }
const some = { id: someOf('the ids of the upstreams, as upstreams list shows them', id) }
const deadline = option(
  'time',
  'close what is left after so long, such as 15m, 90s or 0; else as configured (DRAIN_DEADLINE_MS)',
  duration('0', '7d'),
)
const following = { ...changeFlags, ...waitFlags }
const waitExits = { 1: 'failed: refused, no answer, or with --wait: it did not come to its end (in time)' }

const createFlags = {
  address: option('host:port', 'register the proxy that listens here (IPv6 in brackets); order none', text),
  name: option('name', 'with --address: what people call it', text),
  'egress-ip': option(
    'ip',
    'with --address: the address that targets see; it must not be that of another upstream',
    text,
  ),
  credentials: option(
    'name',
    'with --address: which of the configured credentials it asks for; never a secret',
    text,
  ),
  label: repeatable('k=v', 'a label, by which restrictions select it', labels),
  zone: option('zone', 'without --address: where to make it; else where the fewest are', text),
  count: option('n', 'without --address: so many of them, up to 100', wholeNumber(1, 100)),
}

const create = command({
  name: 'upstreams create',
  does: 'order machines from the provider, or with --address register a proxy that others made',
  about: ['Jobs are sent there once it has answered its probes; --wait waits for that.'],
  args: {},
  flags: { ...createFlags, ...following },
  examples: [
    'lanekeeper upstreams create --count 3 --label pool=payments-cl --wait',
    'lanekeeper upstreams create --zone europe-west1-b --wait --timeout 10m',
    'lanekeeper upstreams create --address 10.0.0.5:8888',
    'lanekeeper upstreams create --address [fd00::5]:8888 --name cl-5 --egress-ip 203.0.113.5 --label pool=payments-cl --label zone=a --credentials proxies --reason "two more for payday"',
  ],
  exits: waitExits,
  contradiction: mixedWays,
  run: (call) =>
    changeUpstreams(call, newUpstreams(call.flags), {
      said: (upstream) => newSaid(upstream, call.flags),
      watch: until('running'),
      // What is wrong with one order is wrong with the next.
      goesOn: false,
    }),
})

const drain = command({
  name: 'upstreams drain',
  does: 'give upstreams no new jobs and let theirs finish; again: with another deadline',
  about: [
    'It is drained once no gateway may give it jobs and none is left on it; at the deadline what is left is closed, and its',
    'jobs get 502 pin_lost. A drained upstream stays so until the drain is cancelled or it is deleted.',
  ],
  args: some,
  flags: { deadline, ...following },
  examples: [
    'lanekeeper upstreams drain up-1 --wait',
    'lanekeeper upstreams drain up-1 up-2 --deadline 15m --reason "a new image"',
  ],
  exits: waitExits,
  run: (call) => {
    const { deadline } = call.flags
    const body = deadline === null ? {} : { body: { deadlineMs: deadline } }
    const asks = call.args.id.map((id) => verb(id, 'drain', body))
    return changeUpstreams(call, asks, { said: drainSaid, watch: until('drained'), goesOn: true })
  },
})

const cancel = command({
  name: 'upstreams cancel',
  does: 'end the drain of upstreams: they get new jobs again',
  about: ['Refused once it is being deleted.'],
  args: some,
  flags: changeFlags,
  examples: ['lanekeeper upstreams cancel up-1 up-2'],
  run: (call) =>
    changeUpstreams(
      { ...call, flags: { ...call.flags, wait: false } },
      call.args.id.map((id) => verb(id, 'cancel')),
      { said: (upstream) => changed(upstream, 'gets new jobs again'), watch: until('running'), goesOn: true },
    ),
})

const recycle = command({
  name: 'upstreams recycle',
  does: 'replace an upstream by a fresh one: the new one first, then the old one is drained and deleted',
  args: one,
  flags: following,
  examples: ['lanekeeper upstreams recycle up-1 --wait --reason "its IP is blocked"'],
  exits: waitExits,
  run: (call) =>
    changeUpstreams(call, [verb(call.args.id, 'recycle')], {
      said: (upstream) => changed(upstream, `is being replaced by ${cell(upstream.replacedBy)}`),
      watch: untilReplaced,
      goesOn: true,
    }),
})

const remove = command({
  name: 'upstreams delete',
  does: 'take upstreams out of the fleet for good: drained first, then deleted; ids are never used again',
  args: some,
  flags: {
    force: toggle('at once, without a drain: its jobs get 502 pin_lost'),
    deadline,
    ...following,
  },
  examples: [
    'lanekeeper upstreams delete up-1 up-2 --deadline 15m --wait',
    'lanekeeper upstreams delete up-1 --force --reason "the machine is lost"',
  ],
  exits: waitExits,
  contradiction: ({ force, deadline }) =>
    force && deadline !== null ? '--force does not drain, so it has no --deadline; give one of them.' : null,
  run: (call) => {
    const { force, deadline } = call.flags
    const query = { force: force || null, deadlineMs: deadline }
    const asks = call.args.id.map((id): Ask => ({ name: id, method: 'DELETE', path: pathOf(id), query }))
    return changeUpstreams(call, asks, { said: deletionSaid, watch: until('deleted'), goesOn: true })
  },
})

export const upstreamLifeCommands = [create, drain, cancel, recycle, remove]

type CreateFlags = ValuesOf<typeof createFlags>

function mixedWays({ address, name, credentials, zone, count, ...flags }: CreateFlags): string | null {
  if (address !== null && (zone !== null || count !== null))
    return '--address registers one proxy that is there; --zone and --count are for machines that are ordered.'
  if (address === null && [name, credentials, flags['egress-ip']].some((given) => given !== null))
    return '--name, --egress-ip and --credentials go with --address; without it a machine is ordered.'
  return null
}

function newUpstreams(flags: CreateFlags): Ask[] {
  const { address, name, label, credentials, zone } = flags
  const given = { address, name, egressIp: flags['egress-ip'], labels: label, credentials, zone }
  const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null))
  return Array.from({ length: flags.count ?? 1 }, (_, index) => ({
    name: address ?? `order ${index + 1}`,
    method: 'POST',
    path: '/v1/upstreams',
    body,
  }))
}

function newSaid(
  upstream: Changed<Upstream>,
  { address, wait }: { readonly address: string | null; readonly wait: boolean },
): string {
  const said = changed(upstream, address === null ? 'is ordered' : 'is registered')
  if (wait) return said
  return address === null
    ? `${said} lanekeeper upstreams show ${cell(upstream.id)} tells how far it is.`
    : `${said}\n\n${record({ ...upstream })}`
}

function verb(id: string, name: string, body: Pick<Ask, 'body'> = {}): Ask {
  return { name: id, method: 'POST', path: `${pathOf(id)}/${name}`, ...body }
}

function pathOf(id: string): string {
  return `/v1/upstreams/${encodeURIComponent(id)}`
}

function changed({ id, version }: Changed<Upstream>, what: string): string {
  return `Upstream ${cell(id)} ${what} (version ${version}).`
}

function drainSaid(upstream: Changed<Upstream>): string {
  const until = upstream.drain ? ` What is left at ${cell(upstream.drain.deadline)} is closed.` : ''
  return `${changed(upstream, 'is draining')} ${whatItHas(upstream)}${until}`
}

function deletionSaid(upstream: Changed<Upstream>): string {
  if (upstream.state === 'draining')
    return `${changed(upstream, 'is draining, and is deleted then')} ${whatItHas(upstream)}`
  return changed(upstream, upstream.state === 'deleted' ? 'is deleted' : 'is being deleted')
}

function whatItHas({ pins, tunnels }: Upstream): string {
  if (pins === null || tunnels === null) return 'Its jobs may finish.'
  return `Its jobs may finish: ${count(pins, 'job')}, ${count(tunnels, 'tunnel')}.`
}
