// A PostgreSQL server, through a pool of connections. Nothing hangs: the server is given time limits with each
// transaction, and where it does not keep them, the connection is thrown away. PgBouncer in transaction mode does: no
// state of a session, no named statements, no LISTEN.

import { once } from 'node:events'
import { Socket } from 'node:net'
import pg from 'pg'
import type { ControlError } from '../../errors.ts'
import type { Db, DbTimeouts, Row, TransactionOptions } from './db.ts'
import { within } from './deadline.ts'
import { connectionFailure, databaseUnavailable, hideSecrets, statementFailure } from './failure.ts'
import { makeDb } from './transactions.ts'
import type { Connection } from './transactions.ts'
import { parserOf, toText } from './values.ts'

export type PgOptions = {
  /** `postgres://user:password@host:5432/database` */
  readonly url: string
  readonly timeouts: DbTimeouts
  /** Connections at most. */
  readonly poolSize: number
  /** Told of connections that broke while nobody used them. */
  readonly onError?: (error: ControlError) => void
}

/** A transaction in which nothing happens for this long is ended by the server: its client is gone. */
const idleInTransactionMs = 10_000
/** What the server's own time limits may be late by. */
const graceMs = 500
const farewellMs = 250
/** A name may lead to another server by now, and who is connected would never ask. */
const longestLifeS = 300
const keepAliveMs = 10_000

/**
 * Connects when first asked, so it opens also while the server is away.
 * @throws TypeError where `url` is not one
 */
export function openPg({ url, timeouts, poolSize, onError = () => {} }: PgOptions): Db {
  const sockets = new Set<Socket>()
  const config = {
    connectionString: checked(url),
    max: poolSize,
    connectionTimeoutMillis: timeouts.connectMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    maxLifetimeSeconds: longestLifeS,
    fallback_application_name: 'lanekeeper',
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
    stream: () => tracked(sockets),
  } satisfies pg.PoolConfig
  const hide = hideSecrets(url)
  const pool = new pg.Pool(config)
  pool.on('error', (error) => onError(connectionFailure(error, hide)))
  let closing: Promise<void> | null = null

  async function connect(options: TransactionOptions): Promise<Connection> {
    if (closing !== null) throw databaseUnavailable('the connection to it was closed')
    const client = await pool.connect().catch((error: unknown) => {
      throw connectionFailure(error, hide)
    })
    const deadlineMs = (options.statementTimeoutMs ?? timeouts.statementMs) + graceMs
    return connectionOn(client, { hide, deadlineMs, begin: beginSql(options, timeouts) })
  }

  async function end(): Promise<void> {
    const destroy = () => sockets.forEach((socket) => socket.destroy())
    const impatient = setTimeout(destroy, timeouts.statementMs)
    await pool.end()
    clearTimeout(impatient)
    // The pool says goodbye and does not wait. A server that is silent would keep us from ending.
    const goodbyes = [...sockets].map((socket) => once(socket, 'close'))
    await within(farewellMs, Promise.allSettled(goodbyes), () => new Error('no goodbye')).catch(destroy)
  }

  return makeDb({
    connect,
    statementMs: timeouts.statementMs,
    close: () => (closing ??= end()),
  })
}

/** All of it for the transaction alone: behind PgBouncer the session is not ours. */
function beginSql(options: TransactionOptions, { statementMs, lockMs }: DbTimeouts): string {
  const { isolation = 'read committed', readOnly = false, statementTimeoutMs = statementMs } = options
  return [
    // Never `read write`: a server that says read-only of itself, for want of space, must be believed.
    `begin isolation level ${isolation}${readOnly ? ' read only' : ''}`,
    `set local statement_timeout = ${statementTimeoutMs}`,
    `set local lock_timeout = ${lockMs}`,
    `set local idle_in_transaction_session_timeout = ${idleInTransactionMs}`,
    // Each time anew: a pooler, or a name, may lead to another server from one transaction to the next.
    'select pg_is_in_recovery() as is_standby',
  ].join('; ')
}

type Limits = {
  readonly hide: (text: string) => string
  readonly deadlineMs: number
  readonly begin: string
}

function connectionOn(client: pg.PoolClient, { hide, deadlineMs, begin }: Limits): Connection {
  /** Why there is nothing left to ask. */
  let broken: ControlError | null = null
  const onBroken = (error: unknown) => {
    broken ??= connectionFailure(error, hide)
  }
  // Without a listener, a server that ends the connection between two statements would end the process.
  client.on('error', onBroken)

  async function ask<T>(send: () => Promise<T>): Promise<T> {
    if (broken !== null) throw broken
    const late = () => (broken = databaseUnavailable(`it did not answer within ${deadlineMs} ms`))
    try {
      return await within(deadlineMs, send(), late)
    } catch (error) {
      throw broken ?? statementFailure(error, hide)
    }
  }

  return {
    async begin() {
      // Several statements have several results.
      const results = (await ask(() => client.query(begin))) as unknown as readonly pg.QueryResult<Row>[]
      if (results.at(-1)?.rows[0]?.['is_standby'] === false) return
      throw (broken = databaseUnavailable(
        'it is a standby, which may be behind, and nothing is decided on one: DATABASE_URL must lead to the primary',
      ))
    },

    query: <R extends Row>(text: string, values: readonly unknown[] = []) =>
      // `extended`: one statement only, and a plan for this once.
      ask(async () => {
        const config = { text, values: values.map(toText), queryMode: 'extended' }
        return (await client.query<R>(config)).rows
      }),

    async exec(sql) {
      await ask(() => client.query(sql))
    },

    release(clean) {
      client.off('error', onBroken)
      client.release(broken ?? !clean)
    },
  }
}

function tracked(sockets: Set<Socket>): Socket {
  const socket = new Socket()
  sockets.add(socket)
  return socket.once('close', () => sockets.delete(socket))
}

function checked(url: string): string {
  try {
    if (!/^postgres(ql)?:$/.test(new URL(url).protocol)) throw new TypeError('another protocol')
    // Reads all of the URL, and the files of certificates that it may name.
    new pg.Client({ connectionString: url })
    return url
  } catch {
    // The driver's own error would show the URL, password included.
    throw new TypeError(
      'The URL of PostgreSQL must look like postgres://user:password@host:5432/database, and files that it names must exist.',
    )
  }
}
