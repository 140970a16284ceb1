// lanekeeper upstreams ...: the proxies of the fleet, and what a person decides about them.

import type { Api, Change } from '../api.ts'
import { command } from '../command.ts'
import { argument, id, labels, oneOf, option, repeatable, required, text, type ValuesOf } from '../flags.ts'
import type { Changed, Upstream } from '../shapes.ts'
import { cell, count, record } from '../table.ts'
import { addressOf, stateOf } from '../words.ts'
import {
  apiFlags,
  author,
  changeFlags,
  force,
  forceExits,
  limitContradiction,
  listFlags,
  showList,
  tell,
  withApi,
  type ListView,
} from '../with-api.ts'

const args = { id: argument('the id of the upstream, as upstreams list shows it', id) }
const states = ['provisioning', 'running', 'draining', 'deleting', 'deleted', 'failed'] as const

const view: ListView<Upstream> = {
  noun: 'upstream',
  columns: [
    { title: 'ID', of: (upstream) => upstream.id },
    { title: 'NAME', of: (upstream) => upstream.name },
    { title: 'STATE', of: stateOf },
    { title: 'ADDRESS', of: addressOf },
    { title: 'EGRESS-IP', of: (upstream) => upstream.egressIp },
    { title: 'PINS', of: (upstream) => upstream.pins, align: 'right' },
    { title: 'TUNNELS', of: (upstream) => upstream.tunnels, align: 'right' },
    { title: 'LABELS', of: (upstream) => upstream.labels },
  ],
}

const list = command({
  name: 'upstreams list',
  does: 'list the upstreams: state, address, egress IP, pins, tunnels, labels',
  about: [
    'A deleted upstream is shown by --state deleted only. Pins and tunnels are "-" while Redis is away.',
  ],
  args: {},
  flags: { state: option(states.join('|'), 'only those in this state', oneOf(...states)), ...listFlags },
  examples: [
    'lanekeeper upstreams list',
    'lanekeeper upstreams list --state running --limit 20',
    'lanekeeper upstreams list --all --json',
  ],
  contradiction: limitContradiction,
  run: (call) => showList(call, { path: '/v1/upstreams', query: { state: call.flags.state } }, view),
})

const show = command({
  name: 'upstreams show',
  does: 'show all that is known of one upstream, a deleted one too',
  args,
  flags: apiFlags,
  examples: ['lanekeeper upstreams show up-1', 'lanekeeper upstreams show up-1 --json'],
  run: (call) =>
    withApi(call, async (api) => {
      const upstream = await api.get<Upstream>(pathOf(call.args.id), 'id')
      return tell(call, upstream, () => record({ ...upstream }))
    }),
})

const create = command({
  name: 'upstreams create',
  does: 'register a proxy that others made, so that jobs are sent there',
  args: {},
  flags: {
    address: required('host:port', 'where it listens; IPv6 in brackets', text),
    name: option('name', 'what people call it', text),
    'egress-ip': option('ip', 'the address that targets see; it must not be that of another upstream', text),
    label: repeatable('k=v', 'a label, by which restrictions select it', labels),
    credentials: option('name', 'which of the configured credentials it asks for; never a secret', text),
    ...changeFlags,
  },
  examples: [
    'lanekeeper upstreams create --address 10.0.0.5:8888',
    'lanekeeper upstreams create --address [fd00::5]:8888 --name cl-5 --egress-ip 203.0.113.5 --label pool=payments-cl --label zone=a --credentials proxies --reason "two more for payday"',
  ],
  run: (call) =>
    withApi(call, async (api) => {
      const { address, name, label, credentials } = call.flags
      const given = { address, name, egressIp: call.flags['egress-ip'], labels: label, credentials }
      const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null))
      const upstream = await change(api, call, { method: 'POST', path: '/v1/upstreams', body })
      return tell(call, upstream, () => `${changed(upstream, 'is registered')}\n\n${record({ ...upstream })}`)
    }),
})

const quarantine = command({
  name: 'upstreams quarantine',
  does: 'give an upstream no new jobs, until it is released; jobs pinned to it go on',
  args,
  flags: changeFlags,
  examples: ['lanekeeper upstreams quarantine up-1 --reason "blocked by bank-a"'],
  run: (call) =>
    withApi(call, async (api) => {
      const path = `${pathOf(call.args.id)}/quarantine`
      const upstream = await change(api, call, { method: 'POST', path })
      return tell(call, upstream, () => `${changed(upstream, 'is quarantined')} ${goesOn(upstream)}`)
    }),
})

const release = command({
  name: 'upstreams release',
  does: 'end the quarantine of an upstream: it gets new jobs again',
  args,
  flags: changeFlags,
  examples: ['lanekeeper upstreams release up-1 --actor alice'],
  run: (call) =>
    withApi(call, async (api) => {
      const path = `${pathOf(call.args.id)}/release`
      const upstream = await change(api, call, { method: 'POST', path })
      return tell(call, upstream, () => changed(upstream, 'is not quarantined any more'))
    }),
})

const remove = command({
  name: 'upstreams delete',
  does: 'take an upstream out of the fleet for good; its id is never used again',
  about: [
    'Refused while it has jobs or may get some: quarantine it, and wait until its pins and tunnels are 0.',
  ],
  args,
  flags: { force, ...changeFlags },
  examples: [
    'lanekeeper upstreams delete up-1',
    'lanekeeper upstreams delete up-1 --force --reason "the machine is lost"',
  ],
  exits: forceExits,
  run: (call) =>
    withApi(call, async (api) => {
      const query = { force: call.flags.force || null }
      const upstream = await change(api, call, { method: 'DELETE', path: pathOf(call.args.id), query })
      return tell(call, upstream, () => changed(upstream, 'is deleted'))
    }),
})

export const upstreamCommands = [list, show, create, quarantine, release, remove]

function change(
  api: Api,
  { flags }: { readonly flags: ValuesOf<typeof changeFlags> },
  request: Pick<Change, 'method' | 'path' | 'query' | 'body'>,
): Promise<Changed<Upstream>> {
  return api.change({ ...request, knownBy: 'id', ...author(flags) })
}

function pathOf(id: string): string {
  return `/v1/upstreams/${encodeURIComponent(id)}`
}

function changed({ id, version }: Changed<Upstream>, what: string): string {
  return `Upstream ${cell(id)} ${what} (version ${version}).`
}

function goesOn({ pins, tunnels }: Upstream): string {
  if (pins === null || tunnels === null) return 'Jobs pinned to it go on.'
  return `What it has goes on: ${count(pins, 'pin')}, ${count(tunnels, 'tunnel')}.`
}
