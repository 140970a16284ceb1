// The steps of a drain: it begins for one that is replaced, it is over, its deadline closes what is left, and it ends in
// a deletion. Each is one transaction; gateways learn of it by the published snapshot.

import type { Events } from '../events.ts'
import type { Drain, Origin } from '../store/records.ts'
import type { Held } from './hold.ts'
import { changeOf, move } from './life.ts'
import type { Action } from './plan.ts'

type Of<Kind extends Action['kind']> = Extract<Action, { kind: Kind }>

export function newDrain(
  nowMs: number,
  { deadlineMs, thenDelete, by }: { deadlineMs: number; thenDelete: boolean; by: Origin },
): Drain {
  return { sinceMs: nowMs, deadlineMs: nowMs + deadlineMs, thenDelete, by, drainedAtMs: null, shut: null }
}

/** @param deadlineMs  from now */
export function drainReplaced(held: Held, { reason }: Of<'drain'>, deadlineMs: number): Promise<void> {
  return held.settle(reason, (record, { nowMs }) => {
    const drain = newDrain(nowMs, { deadlineMs, thenDelete: true, by: 'control' })
    return [move(record, 'drain', { drain })]
  })
}

export function keepUnreplaced(held: Held, { reason }: Of<'keep'>): Promise<void> {
  return held.settle(reason, (record) => [changeOf(record, { replacedBy: null, problem: reason })])
}

export function markDrained(held: Held, { reason }: Of<'drained'>): Promise<void> {
  return held.settle(reason, (record, { nowMs }) => {
    const drain = record.drain && { ...record.drain, drainedAtMs: nowMs }
    return [changeOf(record, { drain })]
  })
}

/** From here on it is not published any more, so gateways close its tunnels, and its jobs get `pin_lost`. */
export async function shut(held: Held, { pins, tunnels, reason }: Of<'shut'>, events: Events): Promise<void> {
  await held.settle(reason, (record, { nowMs }) => {
    const drain = record.drain && {
      ...record.drain,
      drainedAtMs: nowMs,
      shut: { atMs: nowMs, pins, tunnels },
    }
    return [changeOf(record, { drain })]
  })
  events.emit('upstream_shut', { upstream: held.record.id, pins, tunnels })
}

/** @param newRequestId  of the order to the cloud that follows */
export async function beginDeletion(
  held: Held,
  { shut, reason }: Of<'delete'>,
  { newRequestId, events }: { newRequestId: () => string; events: Events },
): Promise<void> {
  await held.settle(reason, (record, { nowMs }) => {
    const drain = record.drain && {
      ...record.drain,
      drainedAtMs: record.drain.drainedAtMs ?? nowMs,
      shut: shut ? { atMs: nowMs, ...shut } : record.drain.shut,
    }
    return [move(record, 'delete', { drain, requestId: newRequestId() })]
  })
  if (shut) events.emit('upstream_shut', { upstream: held.record.id, ...shut })
}
