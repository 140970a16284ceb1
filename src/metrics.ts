// Facts to counters, for Prometheus. Labels are few and bounded: never a job, never a target.

import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'
import type { Events } from './events.ts'

/** What is read when somebody asks, rather than counted as it happens. */
export type Readings = {
  readonly openTunnels: () => ReadonlyMap<string, number>
  readonly knownPins: () => number
  readonly connections: () => number
  readonly fleetVersion: () => number
  readonly storeUp: () => boolean
  readonly lagMs: () => number
  readonly heapPercent: () => number
}

export function makeMetrics(events: Events): Registry {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name: `lanekeeper_${name}`, help, labelNames, registers })

  const opened = counter('tunnels_opened_total', 'Tunnels that were opened, by road', ['road'])
  const closed = counter('tunnels_closed_total', 'Tunnels that were closed, by who ended them', ['ended_by'])
  const bytes = counter('tunnel_bytes_total', 'Bytes carried: up is from the job to its target', [
    'direction',
  ])
  const refused = counter(
    'requests_refused_total',
    'Requests that ended in an error of the gateway, by code',
    ['code'],
  )
  const turnedAway = counter('connections_refused_total', 'Connections that found no place, by reason', [
    'reason',
  ])
  const pinsMade = counter('pins_made_total', 'Jobs that were pinned')
  const pinsMoved = counter('pins_moved_total', 'Pins that changed their upstream, by reason', ['reason'])
  const pinsLost = counter('pins_lost_total', 'Requests of jobs whose upstream is gone')
  const pinsHashed = counter('pins_hashed_total', 'Jobs that were pinned while the store of pins was away')
  const conflicts = counter('pin_conflicts_total', 'Jobs of which the store of pins held another pin')
  const restored = counter(
    'pins_restored_total',
    'Pins that the store of pins had lost, or could not be told, and was given back',
  )
  const evicted = counter('jobs_evicted_total', 'Jobs released because a change of the rules asked for it')
  const failures = counter('upstream_failures_total', 'Failures that were the fault of an upstream', [
    'upstream',
  ])
  const moves = counter('upstream_moves_total', 'Upstreams that came into a state, by state', ['to'])
  const stepFailures = counter(
    'upstream_step_failures_total',
    'Steps in the life of an upstream that failed, by step',
    ['step'],
  )
  const ejections = counter('upstream_ejections_total', 'Upstreams that probes took out of the rings')
  const shutTunnels = counter('drain_tunnels_closed_total', 'Tunnels that were closed at a drain deadline')
  const shutPins = counter(
    'drain_pins_closed_total',
    'Pinned jobs that a drain deadline left without upstream',
  )
  const stalls = counter('late_total', 'Times at which this process came to its work too late')
  const shortages = counter(
    'memory_short_total',
    'Times at which new requests were refused for want of memory',
  )
  const syncs = counter('syncs_total', "Comparisons of the provider's list with the records, by outcome", [
    'outcome',
  ])
  const corrections = counter('sync_corrections_total', 'Records that a sync corrected')
  const providerCalls = new Histogram({
    name: 'lanekeeper_provider_call_seconds',
    help: 'Calls to the provider, by verb and outcome',
    labelNames: ['verb', 'outcome'],
    // From a process on this machine to a cloud that takes minutes.
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300],
    registers,
  })
  const reloads = counter('config_reloads_total', 'Configurations that were read again, by outcome', [
    'outcome',
  ])
  const setup = new Histogram({
    name: 'lanekeeper_tunnel_setup_seconds',
    help: 'From the request head to the answer that the tunnel stands',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20],
    registers,
  })

  events.on('tunnel_opened', ({ road, setupMs }) => {
    opened.inc({ road })
    setup.observe(setupMs / 1000)
  })
  events.on('tunnel_closed', ({ endedBy, bytesUp, bytesDown }) => {
    closed.inc({ ended_by: endedBy })
    bytes.inc({ direction: 'up' }, bytesUp)
    bytes.inc({ direction: 'down' }, bytesDown)
  })
  events.on('request_refused', ({ code }) => refused.inc({ code }))
  events.on('connection_refused', ({ reason }) => turnedAway.inc({ reason }))
  events.on('pin_made', () => pinsMade.inc())
  events.on('pin_moved', ({ reason }) => pinsMoved.inc({ reason }))
  events.on('pin_lost', () => pinsLost.inc())
  events.on('pin_hashed', () => pinsHashed.inc())
  events.on('pin_conflict', () => conflicts.inc())
  events.on('pins_restored', ({ written, replaced }) => restored.inc(written + replaced))
  events.on('jobs_evicted', ({ jobs }) => evicted.inc(jobs))
  events.on('upstream_blamed', ({ upstream }) => failures.inc({ upstream }))
  events.on('upstream_moved_on', ({ to }) => moves.inc({ to }))
  events.on('upstream_step_failed', ({ step }) => stepFailures.inc({ step }))
  events.on('upstream_ejected', () => ejections.inc())
  events.on('upstream_shut', ({ pins, tunnels }) => {
    shutPins.inc(pins)
    shutTunnels.inc(tunnels)
  })
  events.on('process_late', () => stalls.inc())
  events.on('memory_short', () => shortages.inc())
  events.on('sync_done', ({ outcome, corrected }) => {
    syncs.inc({ outcome })
    corrections.inc(corrected)
  })
  events.on('config_reloaded', () => reloads.inc({ outcome: 'taken' }))
  events.on('config_reload_failed', () => reloads.inc({ outcome: 'refused' }))
  events.on('provider_called', ({ verb, outcome, ms }) => providerCalls.observe({ verb, outcome }, ms / 1000))
  return registry
}

export function exposeReadings(registry: Registry, readings: Readings): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name: `lanekeeper_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  gauge('known_pins', 'Pins that this gateway remembers', readings.knownPins)
  gauge('client_connections', 'Open connections of clients', readings.connections)
  gauge('fleet_version', 'Version of the snapshot that this gateway decides by', readings.fleetVersion)
  gauge('store_up', '1 while the store of pins answers', () => Number(readings.storeUp()))
  gauge(
    'lag_seconds',
    'How late this process came to its work, at most, within the last second',
    () => readings.lagMs() / 1000,
  )
  gauge(
    'heap_used_ratio',
    'Of the memory that JavaScript may use, the share that was in use after the last collection',
    () => readings.heapPercent() / 100,
  )
  new Gauge({
    name: 'lanekeeper_upstream_tunnels',
    help: 'Open tunnels of this gateway by upstream, dials included',
    labelNames: ['upstream'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [upstream, tunnels] of readings.openTunnels()) this.set({ upstream }, tunnels)
    },
  })
}
