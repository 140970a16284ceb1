// Facts to log lines: one when a request is decided, one when its tunnel closes, and what operators must know.
// No part of the program logs by itself; no token and no credential is in any fact.

import { pino, type DestinationStream, type Logger } from 'pino'
import type { Events, Facts } from './events.ts'
import { formatTarget } from './routing/target.ts'
import type { Job, Target } from './types.ts'

export type Log = Logger

/** JSON lines on standard error unless told otherwise; standard output is for people. */
export function makeLog(
  level: string,
  destination: DestinationStream = pino.destination({ dest: 2, sync: true }),
): Log {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: shownOf } },
    destination,
  )
}

/** An error that was caused by one that was caused by one ... */
const deepest = 5

/**
 * Pino's own serializer shows all that hangs on an error: the bytes of a request head (node's `rawPacket`, with
 * Proxy-Authorization), the words of a Redis AUTH, the headers of a call to a cloud. So these fields, and no other.
 */
function shownOf(error: unknown, depth = 0): object {
  if (!(error instanceof Error)) return { type: typeof error }
  const { name, message, stack, cause } = error
  const { code, errors } = error as { readonly code?: unknown; readonly errors?: unknown }
  const below = (other: unknown) => shownOf(other, depth + 1)
  return {
    type: name,
    message,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    stack,
    ...(depth < deepest && cause !== undefined && { cause: below(cause) }),
    ...(depth < deepest && Array.isArray(errors) && { errors: errors.map(below) }),
  }
}

export function logFacts(events: Events, log: Log): void {
  const lines: { [Name in keyof Facts]: (...fact: Facts[Name]) => void } = {
    tunnel_opened: (fact) => log.info(flat(fact), 'tunnel opened'),
    tunnel_closed: (fact) => log.info(flat(fact), 'tunnel closed'),
    request_refused: (fact) => log.info(flat(fact), 'request refused'),
    // Not one line each for everybody to see: whoever floods us would flood the log too.
    connection_refused: (fact) => log.debug(fact, 'connection refused'),
    tls_reloaded: (fact) => log.info(fact, 'new connections get this certificate'),
    tls_reload_failed: (fact) =>
      log.error(fact, 'the files of gateway.tls cannot be used: the old ones stay in use'),
    tls_ending: (fact) => log.warn(fact, 'the certificate of gateway.tls ends soon, or has ended'),
    target_reported: (fact) =>
      log.warn(flat(fact), 'a rule that only reports would have refused this target'),
    pin_made: (fact) => log.debug(flat(fact), 'pin made'),
    pin_moved: (fact) => log.info(flat(fact), 'pin moved'),
    pin_released: (fact) => log.debug(fact, 'pin released'),
    pin_hashed: (fact) => log.info(flat(fact), 'pin made without the store of pins'),
    pin_conflict: (fact) =>
      log.warn(flat(fact), 'the store holds another pin for this job: its outgoing address changes'),
    pins_restored: (fact) => log.warn(fact, 'the store of pins was given back what it lacked'),
    pin_lost: (fact) => log.warn(flat(fact), 'pin lost: the upstream of the job is gone'),
    token_minted: (fact) => log.info(flat(fact), 'token minted'),
    job_reported: (fact) => log.info(flat(fact), 'job reported'),
    upstream_blamed: (fact) => log.warn(fact, 'upstream failed'),
    upstream_set_aside: (fact) => log.warn(fact, 'upstream gets no new jobs for a while'),
    probe_wanted: (fact) => log.info(fact, 'no answer in time; a probe would tell whose fault it is'),
    snapshot_loaded: (fact) => log.info(fact, 'snapshot loaded'),
    snapshot_published: (fact) => log.info(fact, 'snapshot published'),
    version_raised: (fact) =>
      log.warn(fact, 'the store of pins is ahead of the database, which goes on above it'),
    jobs_evicted: (fact) => log.warn(fact, 'jobs evicted that fit the rules no longer'),
    upstream_not_adopted: (fact) => log.warn(fact, 'an upstream of the provider is not taken in'),
    upstream_moved_on: (fact) => log.info(fact, 'upstream moved on'),
    upstream_step_failed: (fact) => log.warn(fact, 'a step in the life of an upstream failed'),
    upstream_shut: (fact) => log.warn(fact, 'drain deadline: what was left on the upstream is closed'),
    upstream_ejected: (fact) => log.warn(fact, 'upstream ejected: its probes fail'),
    ejection_held: (fact) =>
      log.warn(fact, 'the probes of an upstream fail, but half of the fleet is ejected already: it stays in'),
    upstream_readmitted: (fact) => log.info(fact, 'upstream readmitted'),
    sync_done: ({ outcome, ...fact }) =>
      log[outcome === 'done' ? (fact.corrected > 0 ? 'info' : 'debug') : 'warn'](
        { outcome, ...fact },
        'sync',
      ),
    provider_called: (fact) => log.debug(fact, 'provider called'),
    process_late: (fact) => log.warn(fact, 'this process comes to its work too late'),
    memory_short: (fact) => log.error(fact, 'memory is short: new requests get 503, open tunnels go on'),
    memory_found: () => log.info('memory is found again'),
    config_reloaded: (fact) => log.info(fact, 'configuration reloaded; it changes these settings'),
    config_held_back: (fact) => log.warn(fact, 'these settings need a restart: the old ones stay until then'),
    config_reload_failed: (fact) =>
      log.error(fact, 'the configuration cannot be used: the old one stays as it is'),
    database_lost: (fact) =>
      log.error(fact, 'the database does not answer: traffic goes on, the fleet cannot be changed'),
    database_found: () => log.info('the database answers again'),
    store_lost: (fact) =>
      log.error(
        fact,
        'the store of pins does not answer: known jobs go on, new ones get what redis.down says',
      ),
    store_found: () => log.info('the store of pins answers again'),
    pass_failed: ({ pass, error }) => log.error({ pass, err: error }, 'a pass failed'),
  }
  for (const [name, line] of Object.entries(lines)) events.on(name as keyof Facts, line as never)
}

type Named = { readonly job?: Job | null; readonly target?: Target | null }

function flat({ job, target, ...rest }: Named & { readonly [key: string]: unknown }): object {
  return {
    ...rest,
    ...(job && { job: job.id, type: job.type, institution: job.institution }),
    ...(target && { target: formatTarget(target) }),
  }
}
