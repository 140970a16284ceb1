// lanekeeper upstreams ...: look at the proxies of the fleet, set one aside, and take it back.

import type { Api, Change } from '../api.ts'
import { command } from '../command.ts'
import { argument, id, oneOf, option, type ValuesOf } from '../flags.ts'
import type { Changed, Upstream } from '../shapes.ts'
import { cell, count, record } from '../table.ts'
import { addressOf, stateOf } from '../words.ts'
import {
  apiFlags,
  author,
  changeFlags,
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

export const upstreamCommands = [list, show, quarantine, release]

function change(
  api: Api,
  { flags }: { readonly flags: ValuesOf<typeof changeFlags> },
  request: Pick<Change, 'method' | 'path'>,
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
