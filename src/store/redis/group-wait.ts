// Runs calls and tells their outcome once enough replicas have what they wrote. WAIT counts the writes of its own
// connection only, and that connection does nothing else meanwhile; so calls that come during a WAIT are held, then sent
// together, and share the next one.

import type { Redis } from 'ioredis'
import type { Connection } from './connection.ts'
import { unavailable } from './failure.ts'
import type { Call } from './line.ts'

type GroupWaitOptions = {
  /** Nobody else uses it. */
  readonly connection: Connection
  readonly replicas: number
  /** One WAIT. A call may be held for one and then needs its own, so less than half of its time limit. */
  readonly waitMs: number
}

/** Sends, and tells a failure to its caller; else answers what tells the outcome. */
type Held = { readonly run: () => Promise<Outcome | null>; readonly call: Call; readonly skip: () => void }
type Outcome = { readonly kept: () => void; readonly failed: (error: unknown) => void }

/** @returns sends by the connection, now or behind the WAIT that is under way. @throws GatewayError store_unavailable */
export function makeGroupWait({ connection, replicas, waitMs }: GroupWaitOptions) {
  let held: Held[] = []
  let isUnderWay = false

  async function rounds(): Promise<void> {
    while (held.length > 0) {
      const group = held
      held = []
      await round(group)
    }
    isUnderWay = false
  }

  async function round(group: readonly Held[]): Promise<void> {
    const { number } = connection
    for (const { call, skip } of group) if (call.isOver) skip()
    const sent = await Promise.all(group.filter(({ call }) => !call.isOver).map(({ run }) => run()))
    const outcomes = sent.filter((outcome) => outcome !== null)
    if (outcomes.length === 0) return
    try {
      const reached = await connection.redis.wait(replicas, waitMs)
      // Another connection's WAIT knows nothing of these writes.
      if (connection.number !== number) throw unavailable('the connection was lost')
      if (reached < replicas) throw unavailable(`${reached} of ${replicas} replicas have the pin`)
      for (const { kept } of outcomes) kept()
    } catch (error) {
      for (const { failed } of outcomes) failed(error)
    }
  }

  return function ask<T>(send: (redis: Redis) => Promise<T>, call: Call): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    async function run(): Promise<Outcome | null> {
      try {
        const value = await send(connection.redis)
        return { kept: () => resolve(value), failed: reject }
      } catch (error) {
        reject(error)
        return null
      }
    }
    held.push({ run, call, skip: () => reject(unavailable('it does not answer in time')) })
    if (!isUnderWay) {
      isUnderWay = true
      // What is called in the same turn belongs to the first round.
      queueMicrotask(() => void rounds())
    }
    return promise
  }
}
