import t from 'tap'
import { makeEvents } from '../src/events.ts'
import { exposeReadings, makeMetrics } from '../src/metrics.ts'

const job = { id: 'secret-job', type: 'payment', institution: 'bank-a' }
const request = {
  requestId: 'r-1',
  job,
  token: 'payments',
  tokenKey: null,
  target: { host: 'bank.example', port: 443 },
  upstream: 'up-1',
}

/** Lines of our own, without help texts. */
async function lines(registry: ReturnType<typeof makeMetrics>): Promise<string[]> {
  return (await registry.metrics()).split('\n').filter((line) => line.startsWith('lanekeeper_'))
}

t.test('facts are counted under few labels, none of them a job or a target', async (t) => {
  const events = makeEvents()
  const registry = makeMetrics(events)
  events.emit('tunnel_opened', { ...request, road: 'connect', egressIp: null, setupMs: 3 })
  events.emit('tunnel_closed', { ...request, bytesUp: 10, bytesDown: 20, endedBy: 'client', ms: 5 })
  events.emit('request_refused', {
    requestId: 'r-2',
    token: null,
    tokenKey: null,
    code: 'pin_lost',
    status: 502,
    detail: '',
    job,
    target: null,
    upstream: null,
  })
  events.emit('connection_refused', { requestId: 'r-1', reason: 'source', source: '192.0.2.1' })
  events.emit('pin_made', {
    job,
    lane: { type: 'payment', institution: 'bank-a' },
    upstream: 'up-1',
    version: 1,
  })
  events.emit('pin_moved', { job, from: 'up-1', to: 'up-2', reason: 'fresh' })
  events.emit('pin_lost', { job, upstream: 'up-1' })
  events.emit('upstream_blamed', { upstream: 'up-1', detail: '' })
  events.emit('process_late', { lagMs: 2000 })
  events.emit('memory_short', { percent: 90 })
  events.emit('jobs_evicted', { asked: 7, jobs: 12 })
  events.emit('upstream_moved_on', { upstream: 'up-1', to: 'draining', reason: 'size' })
  events.emit('upstream_step_failed', { upstream: 'up-1', step: 'launch', problem: 'quota', attempts: 3 })
  events.emit('upstream_ejected', { upstream: 'up-1', forMs: 30_000, detail: '' })
  events.emit('upstream_shut', { upstream: 'up-1', pins: 4, tunnels: 6 })
  events.emit('sync_done', {
    outcome: 'incomplete',
    listed: 9,
    corrected: 2,
    left: 1,
    problems: ['no answer'],
    ms: 40,
  })
  events.emit('provider_called', { provider: 'gce', verb: 'create', ms: 42_000, outcome: 'quota' })
  const seen = await lines(registry)
  for (const line of [
    'lanekeeper_tunnels_opened_total{road="connect"} 1',
    'lanekeeper_connections_refused_total{reason="source"} 1',
    'lanekeeper_tunnels_closed_total{ended_by="client"} 1',
    'lanekeeper_tunnel_bytes_total{direction="up"} 10',
    'lanekeeper_tunnel_bytes_total{direction="down"} 20',
    'lanekeeper_requests_refused_total{code="pin_lost"} 1',
    'lanekeeper_pins_made_total 1',
    'lanekeeper_pins_moved_total{reason="fresh"} 1',
    'lanekeeper_pins_lost_total 1',
    'lanekeeper_jobs_evicted_total 12',
    'lanekeeper_upstream_failures_total{upstream="up-1"} 1',
    'lanekeeper_upstream_moves_total{to="draining"} 1',
    'lanekeeper_upstream_step_failures_total{step="launch"} 1',
    'lanekeeper_upstream_ejections_total 1',
    'lanekeeper_drain_tunnels_closed_total 6',
    'lanekeeper_drain_pins_closed_total 4',
    'lanekeeper_late_total 1',
    'lanekeeper_memory_short_total 1',
    'lanekeeper_syncs_total{outcome="incomplete"} 1',
    'lanekeeper_sync_corrections_total 2',
    'lanekeeper_provider_call_seconds_bucket{le="30",verb="create",outcome="quota"} 0',
    'lanekeeper_provider_call_seconds_bucket{le="60",verb="create",outcome="quota"} 1',
    'lanekeeper_tunnel_setup_seconds_bucket{le="0.0025"} 0',
    'lanekeeper_tunnel_setup_seconds_bucket{le="0.005"} 1',
  ])
    t.ok(seen.includes(line), line)
  t.notMatch(seen.join('\n'), /secret-job|bank\.example/)
})

t.test('readings are taken when somebody asks', async (t) => {
  const registry = makeMetrics(makeEvents())
  const tunnels = new Map([['up-1', 2]])
  exposeReadings(registry, {
    openTunnels: () => tunnels,
    knownPins: () => 7,
    connections: () => 3,
    fleetVersion: () => 5,
    storeUp: () => false,
    lagMs: () => 1500,
    heapPercent: () => 40,
  })
  const first = await lines(registry)
  for (const line of [
    'lanekeeper_upstream_tunnels{upstream="up-1"} 2',
    'lanekeeper_known_pins 7',
    'lanekeeper_client_connections 3',
    'lanekeeper_fleet_version 5',
    'lanekeeper_store_up 0',
    'lanekeeper_lag_seconds 1.5',
    'lanekeeper_heap_used_ratio 0.4',
  ])
    t.ok(first.includes(line), line)
  tunnels.clear()
  t.notMatch((await lines(registry)).join('\n'), 'up-1', 'an upstream without tunnels is not kept')
})

t.test('reloads are counted by outcome', async (t) => {
  const events = makeEvents()
  const registry = makeMetrics(events)
  events.emit('config_reloaded', { settings: [] })
  events.emit('config_reload_failed', { problems: ['one'] })
  events.emit('config_reload_failed', { problems: ['one'] })
  const counted = (await lines(registry)).filter((line) => line.includes('config_reloads'))
  t.same(counted, [
    'lanekeeper_config_reloads_total{outcome="taken"} 1',
    'lanekeeper_config_reloads_total{outcome="refused"} 2',
  ])
})
